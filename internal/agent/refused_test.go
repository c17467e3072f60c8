package agent

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"postlmtp/internal/maillog"
)

// TestRefusedEntry: which entries of lmtp_sasl_auth_cache_name count.
func TestRefusedEntry(t *testing.T) {
	var log strings.Builder
	r := &refusedLogins{name: "proxy:btree:x", ttl: time.Hour, log: maillog.ToWriter(&log, "lmtp")}
	const hash = "5en6G6MezRroT3XKqkdPOmY/BfQ=" // of "secret"
	now := time.Now().Unix()
	for _, c := range []struct {
		value, status, text string // empty status: does not count
		bad                 bool
	}{
		{value: fmt.Sprintf("%d;%s;5.7.8;535 5.7.8 no; go away", now, hash), status: "5.7.8", text: "535 5.7.8 no; go away"},
		{value: fmt.Sprintf("%d;%s;5.0.0;535-no\n535 no", now, hash), status: "5.0.0", text: "535-no"},
		{value: fmt.Sprintf("%d;%s;5.7.8;535 no", now-3500, hash), status: "5.7.8", text: "535 no"},
		{value: fmt.Sprintf("%d;%s;5.7.8;535 no", now-3700, hash)},
		{value: fmt.Sprintf("%d;AAAA;5.7.8;535 no", now)},
		{value: fmt.Sprintf("%d;%s;hm;535 no", now, hash), bad: true},
		{value: fmt.Sprintf("x;%s;5.7.8;535 no", hash), bad: true},
		{value: "", bad: true},
		{value: "1;2;3", bad: true},
		{value: fmt.Sprintf("%d;%s;5.7.8;", now, hash), bad: true},
	} {
		log.Reset()
		got, good := r.parse(c.value, "secret")
		if good != (c.status != "") || got.Status != c.status || got.Text != c.text {
			t.Errorf("%q: %+v, %t", c.value, got, good)
		}
		if warned := log.Len() > 0; warned != c.bad {
			t.Errorf("%q: logged %q", c.value, log.String())
		}
	}
}

func FuzzRefusedEntry(f *testing.F) {
	f.Add("1;5en6G6MezRroT3XKqkdPOmY/BfQ=;5.7.8;535 no")
	r := &refusedLogins{name: "proxy:btree:x", ttl: time.Hour, log: maillog.ToWriter(io.Discard, "lmtp")}
	f.Fuzz(func(t *testing.T, value string) {
		if got, good := r.parse(value, "secret"); good && (got.Status == "" || strings.Contains(got.Text, "\n")) {
			t.Errorf("%q: %+v", value, got)
		}
	})
}
