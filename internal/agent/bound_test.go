package agent

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postlmtp/internal/config"
	"postlmtp/internal/maillog"
	"postlmtp/internal/master"
)

func TestBound(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "master.cf"),
		[]byte("few unix - - n - 7 lmtp\nall unix - - n - 0 lmtp\nusual unix - - n - - lmtp\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, dir string
		inv       master.Invocation
		own       int // postlmtp_process_concurrency
		want      int
		warns     bool
	}{
		{"maxproc", dir, master.Invocation{Service: "few"}, 0, 7, false},
		{"no limit", dir, master.Invocation{Service: "all"}, 0, maxConcurrency, false},
		{"-z", dir, master.Invocation{Service: "few", Unlimited: true}, 0, maxConcurrency, false},
		{"-l", dir, master.Invocation{Service: "few", Alone: true}, 9, 1, false},
		{"default_process_limit", dir, master.Invocation{Service: "usual"}, 0, 50, false},
		{"not there any more", dir, master.Invocation{Service: "none"}, 0, 1, true},
		{"of our own", dir, master.Invocation{Service: "few"}, 9, 9, false},
		{"no master.cf", filepath.Join(dir, "none"), master.Invocation{Service: "few"}, 0, 1, true},
		{"worker", filepath.Join(dir, "none"), master.Invocation{Service: "few", Bound: 7}, 0, 7, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &config.Config{ConfigDirectory: tt.dir, DefaultProcessLimit: 50}
			c.Postlmtp.ProcessConcurrency = tt.own
			tt.inv.Transport = "unix"
			var log bytes.Buffer
			got, known := (&settings{Config: c}).bound(tt.inv, maillog.ToWriter(&log, Program))
			if got != tt.want || known == tt.warns {
				t.Errorf("%d, known: %v; want %d", got, known, tt.want)
			}
			if warns := strings.Contains(log.String(), "-- one delivery in this process"); warns != tt.warns {
				t.Errorf("log %q", log.String())
			}
		})
	}
}
