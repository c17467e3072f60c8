package scenario

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"postlmtp/internal/lab"
	"postlmtp/internal/request"
)

// addRequest reads a request section.
func (p *plan) addRequest(message lab.Message, body string) error {
	r := requestPlan{message: message, set: make(map[string]bool)}
	r.req.Sender = "sender@example.com"
	err := eachKey(body, func(key, value string) error {
		r.set[key] = true
		if done, err := r.recipientKey(key, value); done {
			return err
		}
		return r.key(key, value)
	})
	if len(r.req.Recipients) == 0 && !r.set["rcpts"] && r.raw == nil {
		r.addRecipient("user@example.net")
	}
	r.message.Sender = r.req.Sender
	r.message.Recipients = r.req.Recipients
	r.message.ID = r.req.QueueID
	p.requests = append(p.requests, r)
	return err
}

func (r *requestPlan) addRecipient(address string) {
	r.req.Recipients = append(r.req.Recipients, request.Recipient{Address: address, Original: address})
	r.noMark = append(r.noMark, false)
}

// recipientKey applies a key that is about recipients and tells whether it was
// one.
func (r *requestPlan) recipientKey(key, value string) (done bool, err error) {
	switch key {
	case "rcpt":
		r.addRecipient(value)
		return true, nil
	case "rcpts":
		number, pattern, _ := strings.Cut(value, " ")
		n, err := strconv.Atoi(number)
		for i := range n {
			r.addRecipient(fmt.Sprintf(pattern, i+1))
		}
		return true, err
	case "orig", "orcpt", "notify", "offset":
	default:
		return false, nil
	}
	if len(r.req.Recipients) == 0 {
		return true, fmt.Errorf("no rcpt before it")
	}
	last := &r.req.Recipients[len(r.req.Recipients)-1]
	switch key {
	case "orig":
		last.Original = value
	case "orcpt":
		last.ORcpt = value
	case "notify":
		bits, err := names(value, map[string]int{"never": 1, "success": 2, "failure": 4, "delay": 8})
		last.Notify = request.Notify(bits)
		return true, err
	case "offset":
		r.noMark[len(r.noMark)-1] = value == "-1"
	}
	return true, nil
}

// key applies any other key.
func (r *requestPlan) key(key, value string) (err error) {
	texts := map[string]*string{
		"nexthop": &r.req.Nexthop, "sender": &r.req.Sender, "encoding": &r.req.Encoding,
		"envid": &r.req.EnvelopeID, "client-name": &r.req.Client.Name,
		"client-address": &r.req.Client.Address, "client-port": &r.req.Client.Port,
		"client-protocol": &r.req.Client.Protocol, "client-helo": &r.req.Client.Helo,
		"log-ident": &r.req.LogIdent, "rewrite-context": &r.req.RewriteContext,
		"queue-id": &r.req.QueueID, "queue-name": &r.req.QueueName, "file": &r.file,
		"sasl-method": &r.req.SASLMethod, "sasl-username": &r.req.SASLUsername,
		"sasl-sender": &r.req.SASLSender,
	}
	if field := texts[key]; field != nil {
		*field = value
		return nil
	}
	bits := 0
	switch key {
	case "flags":
		bits, err = names(value, map[string]int{"done": 1, "bounce": 2, "mta-verify": 256, "user-verify": 512,
			"record": 1024, "load": 2048, "store": 4096, "record-delayed": 8192})
		r.req.Flags = request.Flags(bits)
	case "sendopts":
		bits, err = names(value, map[string]int{"utf8": 1, "utf8-header": 2, "utf8-sender": 4,
			"utf8-recipient": 8, "tls-optional": 16, "requiretls": 32})
		r.req.SendOpts = request.SendOpts(bits)
	case "ret":
		bits, err = names(value, map[string]int{"full": 1, "hdrs": 2})
		r.req.Ret = request.Ret(bits)
	case "size":
		r.req.Size, err = strconv.ParseInt(value, 10, 64)
	case "reload":
		r.reload = value == "yes"
	case "touch":
		r.touch = value
	case "pause":
		r.pause, err = time.ParseDuration(value)
	case "replace":
		var pair [2]string
		var quoted string
		if quoted, err = strconv.QuotedPrefix(value); err != nil {
			return err
		}
		if pair[0], err = strconv.Unquote(quoted); err != nil {
			return err
		}
		pair[1], err = strconv.Unquote(strings.TrimSpace(value[len(quoted):]))
		r.replace = append(r.replace, pair)
	case "raw":
		var text string
		text, err = strconv.Unquote(value)
		r.raw = []byte(text)
	default:
		err = fmt.Errorf("unknown key")
	}
	return err
}

// names adds up bits that are given by name or number.
func names(value string, known map[string]int) (int, error) {
	bits := 0
	for _, word := range strings.Fields(value) {
		n, ok := known[word]
		if !ok {
			var err error
			if n, err = strconv.Atoi(word); err != nil {
				return 0, fmt.Errorf("unknown word %q", word)
			}
		}
		bits |= n
	}
	return bits, nil
}

// complete fills the request that lab.Queue made with what the file says.
func (r *requestPlan) complete(req *request.Request, expand func(string) string) {
	req.Nexthop = expand(r.req.Nexthop)
	if r.set["flags"] {
		req.Flags = r.req.Flags
	}
	if r.set["queue-name"] {
		req.QueueName = r.req.QueueName
	}
	if r.set["size"] {
		req.Size = r.req.Size
	}
	if r.set["log-ident"] {
		req.LogIdent = r.req.LogIdent
	}
	if r.set["rewrite-context"] {
		req.RewriteContext = r.req.RewriteContext
	}
	req.Encoding, req.SendOpts = r.req.Encoding, r.req.SendOpts
	req.EnvelopeID, req.Ret = r.req.EnvelopeID, r.req.Ret
	req.Client = r.req.Client
	req.SASLMethod, req.SASLUsername, req.SASLSender = r.req.SASLMethod, r.req.SASLUsername, r.req.SASLSender
	for i, no := range r.noMark {
		if no {
			req.Recipients[i].Offset = -1
		}
	}
}
