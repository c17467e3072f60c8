package agent

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"postlmtp/internal/delivery"
	"postlmtp/internal/lmtp"
	"postlmtp/internal/metrics"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/request"
	"postlmtp/internal/status"
)

func TestReason(t *testing.T) {
	dial := func(err error) error { return &nexthop.DialError{Err: fmt.Errorf("connect: %w", err)} }
	reply := &lmtp.ReplyError{Stage: lmtp.StageMail}
	for _, c := range []struct {
		trouble delivery.Trouble
		err     error
		want    metrics.Reason
		none    bool
	}{
		{delivery.TroubleLookup, errors.New("x"), metrics.Lookup, false},
		{delivery.TroubleConnect, dial(unix.ECONNREFUSED), metrics.Refused, false},
		{delivery.TroubleConnect, dial(unix.ENOENT), metrics.Missing, false},
		{delivery.TroubleConnect, dial(unix.EACCES), metrics.Permission, false},
		{delivery.TroubleConnect, dial(unix.EHOSTUNREACH), metrics.Unreachable, false},
		{delivery.TroubleConnect, dial(os.ErrDeadlineExceeded), metrics.ConnectTime, false},
		{delivery.TroubleConnect, dial(unix.EAGAIN), metrics.Connect, false},
		{delivery.TroubleHello, &lmtp.ReplyError{Stage: lmtp.StageGreeting}, metrics.Greeting, false},
		{delivery.TroubleHello, &lmtp.ConnError{Stage: lmtp.StageGreeting, Timeout: true}, metrics.Timeout, false},
		{delivery.TroubleHello, &lmtp.ConnError{Stage: lmtp.StageLHLO}, metrics.Lost, false},
		{delivery.TroubleHello, &lmtp.LocalError{}, metrics.Internal, false},
		{delivery.TroubleHello, errors.New("handshake"), metrics.TLS, false},
		{delivery.TroubleTLS, errors.New("not verified"), metrics.TLS, false},
		{delivery.TroubleLogin, errors.New("refused"), metrics.Auth, false},
		{delivery.TroubleLogin, &lmtp.ConnError{Stage: lmtp.StageAuth}, metrics.Lost, false},
		{delivery.TroubleMessage, reply, 0, true},
		{delivery.TroubleMessage, &lmtp.ConnError{Err: lmtp.ErrDesync}, metrics.Protocol, false},
		{delivery.TroubleMessage, &lmtp.ConnError{Cancelled: true}, metrics.Internal, false},
		{delivery.TroubleMessage, &lmtp.LocalError{}, metrics.Internal, false},
	} {
		got, is := reason(c.trouble, c.err)
		if got != c.want || is == c.none {
			t.Errorf("%d, %v: %v %v, want %v", c.trouble, c.err, got, is, c.want)
		}
	}
}

// Every stage has a name, and the list has them all once.
func TestStages(t *testing.T) {
	all := stages()
	for s := lmtp.StageConnect; s <= lmtp.StageQuit; s++ {
		if !slices.Contains(all, stageText(s)) {
			t.Errorf("%v is not in the list", s)
		}
	}
	slices.Sort(all)
	if len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("some are there twice: %v", all)
	}
}

// The times are those between the stages.
func TestWatchTimes(t *testing.T) {
	dir := t.TempDir()
	p, err := status.Prepare(status.Options{Directory: dir + "/run", UID: os.Geteuid(), GID: os.Getegid(), Service: "lmtp"})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := watcher{p}.Begin(&request.Request{QueueID: "A", Nexthop: "x", Recipients: make([]request.Recipient, 3)})
		w.Connecting(nexthop.Endpoint{})
		time.Sleep(time.Second)
		w.Connected()
		w.Stage(lmtp.StageGreeting)
		w.Stage(lmtp.StageTLS)
		time.Sleep(2 * time.Second)
		w.Stage(lmtp.StageLHLO)
		w.Opened(nil)
		for _, s := range []lmtp.Stage{lmtp.StageXForwardNameAddr, lmtp.StageMail, lmtp.StageRcpt, lmtp.StageRcpt, lmtp.StageData, lmtp.StageBody} {
			w.Stage(s)
			time.Sleep(time.Second)
		}
		w.Stage(lmtp.StageFinal)
		if r := p.Report(); len(r.Deliveries) != 1 || r.Deliveries[0].Stage != "final" || r.Deliveries[0].Recipients != 3 || r.Oldest() != 9*time.Second {
			t.Errorf("%+v", r.Deliveries)
		}
		time.Sleep(4 * time.Second)
		w.Final(true)
		time.Sleep(time.Second)
		w.Final(false)
		w.Final(true)
		w.Done(3)
		w.End()
		if r := p.Report(); len(r.Deliveries) != 0 {
			t.Errorf("%+v", r.Deliveries)
		}
		got := map[string]float64{}
		for name, h := range p.Report().Counted.Destinations["x"].Histograms {
			got[name] = h.Sum
		}
		for name, want := range map[string]float64{
			"postlmtp_connect_duration_seconds":       1,
			"postlmtp_tls_handshake_duration_seconds": 2,
			"postlmtp_hello_duration_seconds":         2,
			"postlmtp_transaction_duration_seconds":   11,
			"postlmtp_final_reply_duration_seconds":   4 + 5,
			"postlmtp_transaction_recipients":         3,
		} {
			if got[name] != want {
				t.Errorf("%s: %v, want %v", name, got[name], want)
			}
		}
	})
}
