package ipc

import (
	"context"
	"sync"
	"time"

	"postlmtp/internal/attr"
)

// A Rewriter has addresses completed by trivial-rewrite(8): user becomes
// user@$myorigin, and so on.
type Rewriter struct {
	client *Client

	// The last answer is remembered for a while: an address tends to come
	// several times for one message.
	mu            sync.Mutex
	asked, answer string
	expire        time.Time // zero: nothing was asked
}

// rewriteMemory is how long an answer is good for.
const rewriteMemory = 30 * time.Second

// NewRewriter returns a Rewriter that talks to svc.
func NewRewriter(svc Service, settings Settings) *Rewriter {
	return &Rewriter{client: NewClient(svc, settings)}
}

// Complete returns the address, which is in external (quoted) form, as it is
// for mail of this machine.
func (r *Rewriter) Complete(ctx context.Context, addr string) (string, error) {
	if answer, ok := r.remembered(addr); ok {
		return answer, nil
	}
	cmd := new(attr.List).String("request", "rewrite").String("rule", "local").String("address", addr)
	var answer string
	err := r.client.Ask(ctx, cmd, func(in *attr.Reader) bool {
		flags := in.Int("flags")
		answer = in.String("address")
		return flags != 0
	})
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked, r.answer, r.expire = addr, answer, time.Now().Add(rewriteMemory)
	return answer, nil
}

func (r *Rewriter) remembered(addr string) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.answer, r.asked == addr && time.Now().Before(r.expire)
}

// Close closes idle connections.
func (r *Rewriter) Close() { r.client.Close() }
