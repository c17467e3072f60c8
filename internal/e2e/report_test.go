package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"strings"
	"testing"
)

// report is a delivery status notification taken apart (RFC 3464).
type report struct {
	text       string               // the part for people
	message    textproto.MIMEHeader // the fields about the message
	recipients []textproto.MIMEHeader
	returned   []byte // the message or header that is returned
}

// parseReport reads a multipart/report of delivery-status.
func parseReport(data []byte) (*report, error) {
	msg, err := mail.ReadMessage(bytes.NewReader(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))))
	if err != nil {
		return nil, err
	}
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		return nil, err
	}
	if kind != "multipart/report" || params["report-type"] != "delivery-status" {
		return nil, fmt.Errorf("content type %s, report type %q", kind, params["report-type"])
	}
	r := new(report)
	for parts := multipart.NewReader(msg.Body, params["boundary"]); ; {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(part)
		if err != nil {
			return nil, err
		}
		kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
		switch {
		case kind == "text/plain" && r.text == "":
			r.text = string(body)
		case kind == "message/delivery-status", kind == "message/global-delivery-status":
			if err := r.readStatus(body); err != nil {
				return nil, err
			}
		default:
			r.returned = body
		}
	}
	if r.message == nil {
		return nil, fmt.Errorf("no delivery-status part")
	}
	return r, nil
}

// readStatus reads the groups of fields, which empty lines separate.
func (r *report) readStatus(body []byte) error {
	tp := textproto.NewReader(bufio.NewReader(bytes.NewReader(append(bytes.TrimSpace(body), "\n\n"...))))
	for {
		fields, err := tp.ReadMIMEHeader()
		if len(fields) == 0 {
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
		if r.message == nil {
			r.message = fields
		} else {
			r.recipients = append(r.recipients, fields)
		}
	}
}

// reportAbout waits for a report in the mailbox of an address that returns the
// message with an identity.
func (d *dovecot) reportAbout(address, id string) *report {
	t := d.t
	t.Helper()
	var found *report
	ok := within(later, func() bool {
		for _, m := range d.mails(address) {
			r, err := parseReport(m)
			if err == nil && bytes.Contains(r.returned, []byte("X-E2E-Id: "+id+"\n")) {
				found = r
				return true
			}
		}
		return false
	})
	if !ok {
		t.Fatalf("no report about %s in the mailbox of %s", id, address)
	}
	return found
}

// expect checks the fields of the report on a recipient. Each expectation is
// "Name: text that the value contains"; a text that starts with "=" is the
// whole value.
func (r *report) expect(t *testing.T, rcpt string, expectations ...string) {
	t.Helper()
	for _, fields := range r.recipients {
		if fields.Get("Final-Recipient") != "rfc822; "+rcpt && fields.Get("Final-Recipient") != "utf-8; "+rcpt {
			continue
		}
		for _, e := range expectations {
			name, want, _ := strings.Cut(e, ": ")
			got := strings.Join(fields.Values(name), "\n")
			whole, exact := strings.CutPrefix(want, "=")
			if exact && got != whole || !exact && !strings.Contains(got, want) {
				t.Errorf("report on %s: %s: %q, want %q", rcpt, name, got, want)
			}
		}
		return
	}
	t.Errorf("no report on %s in %v", rcpt, r.recipients)
}
