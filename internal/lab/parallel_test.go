package lab_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"postlmtp/internal/lab"
	"postlmtp/internal/request"
)

const finalReply = "250 2.0.0 stored"

// Many deliveries at once: each message ends once, and the process limit holds.
func TestManyAtOnce(t *testing.T) {
	const workers, each, limit = 20, 25, 10
	agent, _ := theAgent(t)
	l, err := lab.New("", lab.Options{Agent: agent, Stderr: os.Stderr, ProcessLimit: limit, User: mailOwner()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	script, err := lab.ParseScript("forget content\non .\nwait 2ms\n" + finalReply + "\n")
	if err != nil {
		t.Fatal(err)
	}
	srv, err := l.Serve("s", script)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				deliverAlone(t, l, srv)
			}
		})
	}
	wg.Wait()
	if log := l.Grep("status=sent (" + finalReply + ")"); len(log) != workers*each {
		t.Errorf("%d deliveries in the log, want %d", len(log), workers*each)
	}
	if n := concurrent(srv.Dialogs()); n > limit {
		t.Errorf("%d sessions at once, the limit is %d", n, limit)
	}
}

// deliverAlone delivers one message and looks at its end.
func deliverAlone(t *testing.T, l *lab.Lab, srv *lab.Server) {
	req, err := l.Queue(lab.Message{
		Sender:     "s@example.com",
		Recipients: []request.Recipient{{Address: "r@example.net"}},
		Content:    "Subject: x\n\nx\n",
	})
	if err != nil {
		t.Error(err)
		return
	}
	req.Nexthop = srv.Destination()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	res, err := l.Deliver(ctx, req)
	if err != nil || res.Status != 0 {
		t.Errorf("status %d, error %v", res.Status, err)
		return
	}
	if file, err := l.File(req.QueueID); err != nil || string(file.Marks) != "D" {
		t.Errorf("queue file %+v, error %v", file, err)
	}
}

// concurrent returns the most transactions that were under way at one time. A
// transaction counts from the accepted connection to the final reply: for that
// time at least the agent was busy with it, however late the server looks.
func concurrent(dialogs []lab.Dialog) int {
	end := func(d lab.Dialog) time.Time {
		for _, e := range d.Events {
			if e.Kind == lab.Sent && string(e.Data) == finalReply+"\r\n" {
				return d.Start.Add(e.After)
			}
		}
		return d.Start
	}
	most := 0
	for _, d := range dialogs {
		open := 0
		for _, other := range dialogs {
			if !other.Start.After(d.Start) && end(other).After(d.Start) {
				open++
			}
		}
		most = max(most, open)
	}
	return most
}
