package queuefile

import (
	"fmt"
	"strings"
)

// Bounds on names from outside, in bytes.
const (
	maxQueueName = 100
	maxQueueID   = 255
)

// Hash says which queues are spread over subdirectories. The zero value
// spreads none.
type Hash struct {
	Names []string // hash_queue_names, compared without regard to case
	Depth int      // hash_queue_depth; less than 1 counts as 1
}

// NameError reports a queue name or queue id that cannot belong to Postfix.
type NameError struct {
	What  string // "mail queue name" or "mail queue id"
	Value string
}

func (e *NameError) Error() string {
	return fmt.Sprintf("bad %s: %.*q", e.What, maxQueueID, e.Value)
}

// Path returns the path of a message's queue file, relative to the queue
// directory: the queue name, for hashed queues a directory for each of the
// first Depth characters, and the id. The error is a [*NameError].
func Path(queueName, queueID string, h Hash) (string, error) {
	if !validName(queueName, maxQueueName, false) {
		return "", &NameError{What: "mail queue name", Value: queueName}
	}
	if !validName(queueID, maxQueueID, true) {
		return "", &NameError{What: "mail queue id", Value: queueID}
	}
	var b strings.Builder
	b.WriteString(queueName)
	b.WriteByte('/')
	if h.covers(queueName) {
		key := hashKey(queueID)
		for i := range max(h.Depth, 1) {
			c := byte('_')
			if i < len(key) {
				c = key[i]
			}
			b.WriteByte(c)
			b.WriteByte('/')
		}
	}
	b.WriteString(queueID)
	return b.String(), nil
}

func (h Hash) covers(queueName string) bool {
	for _, name := range h.Names {
		if strings.EqualFold(name, queueName) {
			return true
		}
	}
	return false
}

// validName admits letters and digits, and in a queue id the underscore.
func validName(s string, limit int, underscore bool) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case c == '_' && underscore:
		default:
			return false
		}
	}
	return true
}
