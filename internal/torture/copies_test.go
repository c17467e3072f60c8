package torture

import (
	"time"
)

// wanted is a message as it has to arrive.
type wanted struct {
	content string
	name    string   // of the letter, which is in the sender
	rcpts   []string // who it is for
}

// stored is one copy of a message for one recipient.
type stored struct {
	attempt int       // the number of the request, by the sender
	order   int       // among all copies
	begun   time.Time // when its transaction did
	told    time.Time // when all of the reply was written; zero: never
	cut     bool      // the client may not have the reply
}

// expect says what a letter has to be like when it arrives.
func (v *vault) expect(l *letter, content string) {
	w := wanted{content: content, name: l.name}
	for _, rcpt := range l.req.Recipients {
		w.rcpts = append(w.rcpts, rcpt.Address)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wanted[l.id] = w
}

// stored are the copies of a letter for one recipient, by one request or, with a
// number below 0, by all.
func (v *vault) stored(l *letter, rcpt string, attempt int) []*stored {
	v.mu.Lock()
	defer v.mu.Unlock()
	var found []*stored
	for _, c := range v.copies[l.id+" "+rcpt] {
		if attempt < 0 || c.attempt == attempt {
			found = append(found, c)
		}
	}
	return found
}
