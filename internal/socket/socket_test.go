package socket

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestConnect(t *testing.T) {
	full := syscall.EAGAIN
	for name, tc := range map[string]struct {
		answers []error // of dial; the last one for ever
		want    error
	}{
		"at once":       {[]error{nil}, nil},
		"after a while": {[]error{full, full, full, nil}, nil},
		"refused":       {[]error{full, syscall.ECONNREFUSED}, syscall.ECONNREFUSED},
		"never":         {[]error{full}, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				calls := 0
				_, err := Connect(ctx, func(context.Context) (net.Conn, error) {
					calls++
					return nil, tc.answers[min(calls, len(tc.answers))-1]
				})
				if !errors.Is(err, tc.want) || calls < len(tc.answers) {
					t.Errorf("%v after %d calls", err, calls)
				}
			})
		})
	}
}

func TestQuiet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if !Quiet(c) {
		t.Error("somebody who says nothing is not quiet")
	}
	peer.Write([]byte("x"))
	if Quiet(c) {
		t.Error("somebody who says something is quiet")
	}
	c.Read(make([]byte, 1))
	if !Quiet(c) {
		t.Error("somebody who was heard is not quiet")
	}
	if HungUp(c) {
		t.Error("somebody who is there has hung up")
	}
	peer.(*net.UnixConn).CloseWrite()
	if HungUp(c) {
		t.Error("somebody who listens has hung up")
	}
	peer.Close()
	if Quiet(c) {
		t.Error("somebody who has gone is quiet")
	}
	if !HungUp(c) {
		t.Error("somebody who has gone has not hung up")
	}
}
