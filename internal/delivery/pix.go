package delivery

import (
	"context"
	"strings"
	"time"

	"postlmtp/internal/nexthop"
)

// PIX are the work-arounds for servers behind old firewalls, which show by a
// masked greeting. With LMTP only delay_dotcrlf means something: a pause before
// the end of the message.
type PIX struct {
	Words     func(ctx context.Context, address string) string // lmtp_pix_workaround_maps, lmtp_pix_workarounds
	Threshold time.Duration                                    // lmtp_pix_workaround_threshold_time
	Delay     time.Duration                                    // lmtp_pix_workaround_delay_time
}

// masked notes that the server's greeting is masked, and returns the pause
// before the end of each message.
func (j *job) masked(ctx context.Context, ep nexthop.Endpoint) time.Duration {
	pix := &j.d.opt.PIX
	if pix.Words == nil {
		return 0
	}
	words := pix.Words(ctx, ep.Address())
	if words == "" {
		return 0
	}
	var pause time.Duration
	var known []string
	for _, word := range []string{"disable_esmtp", "delay_dotcrlf"} {
		if !hasWord(words, word) {
			continue
		}
		if word == "delay_dotcrlf" {
			if time.Since(j.req.Stamps.IncomingArrival).Truncate(time.Second) < pix.Threshold {
				continue
			}
			pause = pix.Delay
		}
		known = append(known, word)
	}
	separator := " "
	if j.d.opt.PIXCommas {
		separator = ", "
	}
	j.d.opt.Log.Infof("%s: enabling PIX workarounds: %s for %s", j.req.QueueID, strings.Join(known, separator), ep.Relay())
	return pause
}

func hasWord(list, word string) bool {
	for _, w := range strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }) {
		if strings.EqualFold(w, word) {
			return true
		}
	}
	return false
}
