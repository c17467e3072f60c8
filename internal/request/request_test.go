package request

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"postlmtp/internal/dsn"
)

// nul makes the notation of this file, with ␀ for a NUL byte and line breaks
// for the reader, what goes over the wire.
func nul(s string) string {
	return strings.NewReplacer("␀", "\x00", "\n", "").Replace(s)
}

// captured is a request that the queue manager of Postfix 3.12 sent, with time
// stamps put in. %[1]s stands for those, %[2]s for the attribute that changed
// its name.
const captured = `
flags␀3␀queue_name␀active␀queue_id␀A75179EE74C␀offset␀757␀size␀2422␀nexthop␀b.cd␀encoding␀␀%[2]s
sender␀snd@example.com␀envelope_id␀abc␀ret_flags␀2␀time␀%[1]s␀log_client_name␀localhost␀
log_client_address␀127.0.0.1␀log_client_port␀40136␀log_protocol_name␀ESMTP␀log_helo_name␀me␀sasl_method␀␀
sasl_username␀␀sasl_sender␀␀log_ident␀A75179EE74C␀rewrite_context␀local␀recipient_count␀1␀␀
original_recipient␀a@b.cd␀recipient␀a@b.cd␀offset␀747␀dsn_orig_rcpt␀rfc822;u1@example.net␀notify_flags␀10␀␀`

// wireRequest returns captured with the attribute of the dialect.
func wireRequest(sendOpts string) string {
	stamps := sample().Stamps.encode()
	return nul(fmt.Sprintf(captured, base64.StdEncoding.EncodeToString(stamps), sendOpts))
}

// sample is what captured says.
func sample() *Request {
	return &Request{
		Flags:      MarkDone | Bounce,
		QueueName:  "active",
		QueueID:    "A75179EE74C",
		Offset:     757,
		Size:       2422,
		Nexthop:    "b.cd",
		Sender:     "snd@example.com",
		EnvelopeID: "abc",
		Ret:        RetHeaders,
		Stamps: Stamps{
			IncomingArrival: time.Unix(1787320800, 123456000),
			ActiveArrival:   time.Unix(1787320801, 999999000),
		},
		Client:         Client{Name: "localhost", Address: "127.0.0.1", Port: "40136", Protocol: "ESMTP", Helo: "me"},
		LogIdent:       "A75179EE74C",
		RewriteContext: "local",
		Recipients: []Recipient{{Offset: 747, Address: "a@b.cd", Original: "a@b.cd",
			ORcpt: "rfc822;u1@example.net", Notify: NotifySuccess | NotifyDelay}},
	}
}

func TestReadCaptured(t *testing.T) {
	for _, tt := range []struct {
		name, attribute string
		want            SendOpts
	}{
		{"3.10 and later", "sendopts␀0␀", 0},
		{"3.0 to 3.9", "smtputf8␀13␀", UTF8Requested | UTF8Sender | UTF8Recipient},
		{"unknown bits", "sendopts␀4160␀", 4160},
		{"2.10", "", 0},
	} {
		want := sample()
		want.SendOpts = tt.want
		got, err := Read(strings.NewReader(wireRequest(tt.attribute)), Limits{})
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestEncodeCaptured(t *testing.T) {
	for dialect, attribute := range map[Dialect]string{
		Postfix35:  "smtputf8␀0␀",
		Postfix36:  "smtputf8␀0␀",
		Postfix310: "sendopts␀0␀",
	} {
		var out bytes.Buffer
		if err := sample().Encode(&out, dialect); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wireRequest(attribute), out.String()); diff != "" {
			t.Errorf("dialect %d (-want +got):\n%s", dialect, diff)
		}
	}
}

// TestRoundTrip: many recipients, and values of every kind.
func TestRoundTrip(t *testing.T) {
	req := sample()
	req.Flags = MTAVerify | ConnLoad | ConnStore | 1<<30
	req.Encoding, req.SendOpts, req.Sender = "8bit", RequireTLS, ""
	req.SASLMethod, req.SASLUsername, req.SASLSender = "PLAIN", "Jörg", "x@example.org"
	req.Stamps.AgentHandoff = req.Stamps.ActiveArrival.Add(time.Second)
	req.Stamps.ReuseCount = 3
	req.Recipients = nil
	for i := range 500 {
		req.Recipients = append(req.Recipients, Recipient{Offset: int64(i) - 1, Address: fmt.Sprintf("u%d@example.org", i%7)})
	}
	for _, dialect := range []Dialect{Postfix35, Postfix36, Postfix310} {
		var out bytes.Buffer
		if err := req.Encode(&out, dialect); err != nil {
			t.Fatal(err)
		}
		got, err := Read(iotest.OneByteReader(&out), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(req, got); diff != "" {
			t.Errorf("dialect %d (-want +got):\n%s", dialect, diff)
		}
	}
}

// TestCut: a request that ends early is no request, wherever it ends.
func TestCut(t *testing.T) {
	full := wireRequest("sendopts␀0␀")
	for n := range len(full) {
		_, err := Read(strings.NewReader(full[:n]), Limits{})
		if n == 0 {
			if err != ErrNoRequest {
				t.Errorf("nothing: %v", err)
			}
			continue
		}
		var fe *FormatError
		if !errors.As(err, &fe) || !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrNoRequest) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

// TestChangedMind: a queue manager that closes the connection, whether or not
// it read the greeting, has no request.
func TestChangedMind(t *testing.T) {
	for _, heard := range []bool{true, false} {
		l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		manager, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		agent, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer agent.Close()
		if err := Greet(agent, HelloProtocol); err != nil {
			t.Fatal(err)
		}
		if heard {
			if _, err := ReadHello(manager); err != nil {
				t.Fatal(err)
			}
		}
		manager.Close()
		if _, err := Read(agent, Limits{}); err != ErrNoRequest {
			t.Errorf("greeting read: %v: %v", heard, err)
		}
	}
}

func TestReadErrors(t *testing.T) {
	good := wireRequest("sendopts␀0␀")
	change := func(old, new string) string { return strings.Replace(good, nul(old), nul(new), 1) }
	for _, tt := range []struct {
		name, in string
		limits   Limits
		want     string
	}{
		{"no recipients", change("recipient_count␀1␀", "recipient_count␀0␀"), Limits{},
			"A75179EE74C: read delivery request: no recipients in delivery request for destination b.cd"},
		{"negative count", change("recipient_count␀1␀", "recipient_count␀4294967295␀"), Limits{},
			"A75179EE74C: read delivery request: no recipients in delivery request for destination b.cd"},
		{"too many recipients", change("recipient_count␀1␀", "recipient_count␀100001␀"), Limits{},
			"A75179EE74C: read delivery request: 100001 recipients in delivery request, limit 100000"},
		{"fewer recipients than said", change("recipient_count␀1␀", "recipient_count␀2␀"), Limits{},
			"A75179EE74C: read delivery request: recipient 2 of 2: unexpected EOF"},
		{"no nexthop", change("nexthop␀b.cd␀", "nexthop␀␀"), Limits{},
			"A75179EE74C: read delivery request: empty next-hop destination"},
		{"negative offset", change("offset␀757␀", "offset␀18446744073709551615␀"), Limits{},
			"A75179EE74C: read delivery request: bad data offset -1"},
		{"attribute missing", change("nexthop␀b.cd␀", ""), Limits{},
			`A75179EE74C: read delivery request: read attribute nexthop: unexpected attribute "encoding" in its place`},
		{"attribute added", change("sender␀", "color␀red␀sender␀"), Limits{},
			`A75179EE74C: read delivery request: read attribute sender: unexpected attribute "color" in its place`},
		{"both names", change("sendopts␀0␀", "smtputf8␀0␀sendopts␀0␀"), Limits{},
			`A75179EE74C: read delivery request: read attribute sender: unexpected attribute "sendopts" in its place`},
		{"attribute at the end", change("recipient_count␀1␀", "recipient_count␀1␀color␀red␀"), Limits{},
			`A75179EE74C: read delivery request: read attributes: unexpected attribute "color" at the end of the list`},
		{"malformed number", change("flags␀3␀", "flags␀three␀"), Limits{},
			"read delivery request: read attribute flags: malformed number"},
		{"malformed recipient", change("notify_flags␀10␀", "notify_flags␀␀"), Limits{},
			"A75179EE74C: read delivery request: recipient 1 of 1: read attribute notify_flags: malformed number"},
		{"stamps of another system", change("time␀", "time␀AAAA"), Limits{},
			"A75179EE74C: read delivery request: time stamps of 91 bytes, want 88"},
		{"value too long", good, Limits{Value: 8},
			"read delivery request: read attribute queue_id: longer than 8 bytes"},
		{"request too long", good, Limits{Bytes: 200},
			"A75179EE74C: read delivery request: read attribute time: more than 200 bytes in all"},
		{"the other side of the protocol", nul("status␀0␀␀"), Limits{},
			`read delivery request: read attribute flags: unexpected attribute "status" in its place`},
	} {
		_, err := Read(strings.NewReader(tt.in), tt.limits)
		if fe := new(FormatError); !errors.As(err, &fe) {
			t.Errorf("%s: error of type %T: %v", tt.name, err, err)
		} else if err.Error() != tt.want {
			t.Errorf("%s:\n%v\nwant\n%s", tt.name, err, tt.want)
		}
	}
}

// TestReadTimeout: a peer that stalls is told from one that talks nonsense.
func TestReadTimeout(t *testing.T) {
	src := io.MultiReader(strings.NewReader(wireRequest("")[:300]), iotest.ErrReader(os.ErrDeadlineExceeded))
	if _, err := Read(src, Limits{}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

// TestReadNothingLost: what follows a request stays in the caller's buffer.
func TestReadNothingLost(t *testing.T) {
	src := bufio.NewReader(strings.NewReader(wireRequest("") + "rest"))
	if _, err := Read(src, Limits{}); err != nil {
		t.Fatal(err)
	}
	if rest, _ := io.ReadAll(src); string(rest) != "rest" {
		t.Errorf("rest %q", rest)
	}
}

func TestHello(t *testing.T) {
	for dialect, want := range map[Dialect]string{
		Postfix35:  "status␀0␀␀",
		Postfix36:  "protocol␀delivery_request_protocol␀␀",
		Postfix310: "protocol␀delivery_request_protocol␀␀",
	} {
		var wire bytes.Buffer
		if err := Greet(&wire, dialect.Hello()); err != nil {
			t.Fatal(err)
		}
		if wire.String() != nul(want) {
			t.Errorf("dialect %d: %q", dialect, wire.String())
		}
		if got, err := ReadHello(&wire); got != dialect.Hello() || err != nil {
			t.Errorf("dialect %d: %v, %v", dialect, got, err)
		}
	}
	for _, bad := range []string{"status␀1␀␀", "protocol␀bounce␀␀", "status␀0␀protocol␀x␀␀", "x␀␀␀", "status"} {
		if _, err := ReadHello(strings.NewReader(nul(bad))); err == nil || err == io.EOF {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := ReadHello(strings.NewReader("")); err != io.EOF {
		t.Errorf("nothing: %v", err)
	}
}

func TestFinish(t *testing.T) {
	hop := dsn.Diagnosis{Status: "4.4.1", Reason: "connect to x: Connection refused",
		DiagType: "smtp", DiagText: "421 no", MTAType: "dns", MTAName: "x", Action: "delayed"}
	for _, tt := range []struct {
		status int
		hop    dsn.Diagnosis
		want   string
	}{
		{0, dsn.Diagnosis{}, "status␀␀diag_type␀␀diag_text␀␀mta_type␀␀mta_mname␀␀action␀␀reason␀␀status␀0␀␀"},
		{-1, hop, "status␀4.4.1␀diag_type␀smtp␀diag_text␀421 no␀mta_type␀dns␀mta_mname␀x␀action␀delayed␀" +
			"reason␀connect to x: Connection refused␀status␀4294967295␀␀"},
	} {
		var wire bytes.Buffer
		if err := Finish(&wire, tt.status, tt.hop); err != nil {
			t.Fatal(err)
		}
		if wire.String() != nul(tt.want) {
			t.Errorf("%q", wire.String())
		}
		status, got, err := ReadFinish(&wire)
		if status != tt.status || got != tt.hop || err != nil {
			t.Errorf("%d, %+v, %v", status, got, err)
		}
	}
	for _, bad := range []string{"", "status␀", "status␀␀status␀0␀␀"} {
		if _, _, err := ReadFinish(strings.NewReader(nul(bad))); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestFlags(t *testing.T) {
	if got := Flags(0xffff).Trace(); got != 256|512|1024|8192 {
		t.Errorf("trace mask %d", got)
	}
	for f, want := range map[Flags]bool{0: false, MarkDone | Record: false, MTAVerify: true, UserVerify | Record: true} {
		if f.Probe() != want {
			t.Errorf("Probe of %d", f)
		}
	}
}

// FuzzRead: whatever comes is a request that can be sent and read again, or an
// error, and the memory for it stays within the limits.
func FuzzRead(f *testing.F) {
	f.Add([]byte(wireRequest("sendopts␀0␀")))
	f.Add([]byte(wireRequest("smtputf8␀3␀")))
	f.Add([]byte(wireRequest("")))
	f.Add([]byte(strings.Replace(wireRequest(""), nul("count␀1␀"), nul("count␀3␀"), 1)))
	f.Add([]byte{})
	f.Add([]byte{0})
	limits := Limits{Recipients: 3, Bytes: 4096, Value: 256}
	f.Fuzz(func(t *testing.T, data []byte) {
		req, err := Read(bytes.NewReader(data), limits)
		if err != nil {
			if fe := new(FormatError); len(data) > 0 && !errors.As(err, &fe) {
				t.Fatalf("error of type %T: %v", err, err)
			}
			return
		}
		if n := len(req.Recipients); n < 1 || n > limits.Recipients {
			t.Fatalf("%d recipients", n)
		}
		var out bytes.Buffer
		if err := req.Encode(&out, Postfix310); err != nil {
			t.Fatal(err)
		}
		again, err := Read(&out, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(req, again); diff != "" {
			t.Fatal(diff)
		}
	})
}
