package delivery

import (
	"sync"
	"time"
)

const (
	hintPause = 10 * time.Minute // until the same hint is logged again
	maxHints  = 256              // different hints that are remembered
)

// hints keeps a hint from being repeated for every message that waits for the
// same dead destination. The zero value is ready.
type hints struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// due tells whether a hint has not been given for a while, and notes that it is
// given now.
func (h *hints) due(text string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if last, given := h.last[text]; given && now.Sub(last) < hintPause {
		return false
	}
	if h.last == nil || len(h.last) >= maxHints {
		h.last = make(map[string]time.Time)
	}
	h.last[text] = now
	return true
}
