package lab_test

import (
	"context"
	"os"
	"testing"
	"time"

	"postlmtp/internal/lab"
	"postlmtp/internal/request"
)

func TestSpike(t *testing.T) {
	l, err := lab.New("", lab.Options{Agent: "/usr/lib/postfix/sbin/lmtp", Stderr: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	script, err := lab.ParseScript("")
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Serve("a", script)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	req, err := l.Queue(lab.Message{Sender: "s@example.com", Recipients: []request.Recipient{{Address: "r@example.com"}, {Address: "r2@example.com"}}, Content: "Subject: x\n\n.hello\n"})
	if err != nil {
		t.Fatal(err)
	}
	req.Nexthop = s.Destination()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	res, err := l.Deliver(ctx, req)
	t.Logf("%+v %v", res, err)
	rctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	t.Log(l.Retire(rctx))
	for _, line := range l.Log() {
		t.Log(line)
	}
	for _, p := range l.Processes() {
		t.Log(p)
	}
	for _, r := range l.Records() {
		t.Log(r)
	}
	st, err := l.File(req.QueueID)
	t.Logf("%+v %q %v", st, st.Marks, err)
	for _, d := range s.Dialogs() {
		for _, e := range d.Events {
			t.Logf("%v %c %q", e.After, e.Kind, e.Data)
		}
	}
}
