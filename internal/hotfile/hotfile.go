// Package hotfile tells whether somebody may still be writing a file of text, such
// as main.cf or a texthash: table, which nobody locks. As Postfix does, whoever
// reads such a file waits until it was left alone for a second, but not for ever.
package hotfile

import "time"

// Where a file is hot, it is read again after a Pause, at most Pauses times.
const (
	Pauses = 30
	Pause  = 300 * time.Millisecond
)

// Hot reports whether a file with this time of change was changed since the second
// before the given time. A time of change in the future says nothing.
func Hot(changed, since time.Time) bool {
	return changed.Unix() >= since.Unix()-1 && changed.Unix() <= time.Now().Unix()
}
