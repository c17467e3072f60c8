package lab

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"postlmtp/internal/queuefile"
	"postlmtp/internal/request"
)

// A Message is what Queue makes a queue file of.
type Message struct {
	ID         string // the queue ID; default: one that is free
	Sender     string
	Recipients []request.Recipient // Offset is filled in by Queue

	// Content is the message with LF at the line ends. It is not used if
	// Records is set.
	Content string
	// Records are the content records as they are to be in the file. The end
	// record X follows them unless Truncated is set.
	Records   []QueueRecord
	Truncated bool // the file ends after the content
	EditRoom  bool // leave the room that cleanup(8) leaves for Milters
}

// A QueueRecord is one record of a queue file.
type QueueRecord struct {
	Type byte
	Data string
}

// files remembers the queue files that a lab has made.
type files struct {
	mu     sync.Mutex
	serial int
	made   map[string]fileInfo
}

// fileInfo is what a queue file was like when it was made.
type fileInfo struct {
	size    int64
	sum     [sha256.Size]byte
	offsets []int64
}

// Queue writes a queue file into the active queue and returns a request for
// the delivery of all its recipients, complete but for the Nexthop.
func (l *Lab) Queue(msg Message) (*request.Request, error) {
	now := time.Now()
	l.files.mu.Lock()
	l.files.serial++
	if msg.ID == "" {
		msg.ID = fmt.Sprintf("1ABC0%06X", l.files.serial)
	}
	l.files.mu.Unlock()
	data, layout, err := buildFile(&msg, arrival(now))
	if err == nil {
		err = l.writeFile(msg.ID, data, layout.Recipients)
	}
	if err != nil {
		return nil, fmt.Errorf("queue message: %w", err)
	}
	req := &request.Request{
		Flags:          request.MarkDone | request.Bounce,
		QueueName:      "active",
		QueueID:        msg.ID,
		Offset:         layout.DataOffset,
		Size:           layout.ContentSize,
		Sender:         msg.Sender,
		Stamps:         request.Stamps{IncomingArrival: now, ActiveArrival: now},
		LogIdent:       msg.ID,
		RewriteContext: "local",
		Recipients:     slices.Clone(msg.Recipients),
	}
	for i := range req.Recipients {
		req.Recipients[i].Offset = layout.Recipients[i]
	}
	return req, nil
}

// arrival returns a time close to now that takes as many digits in a queue file
// as any other such time, so that the offsets in the file, which get logged, are
// always the same.
func arrival(now time.Time) time.Time {
	return now.Truncate(time.Second).Add(-time.Microsecond)
}

// writeFile writes a queue file and remembers what it was like.
func (l *Lab) writeFile(id string, data []byte, offsets []int64) error {
	path := l.queuePath(id)
	if err := os.WriteFile(path, data, 0o700); err != nil {
		return err
	}
	if l.opts.User != "" {
		uid, gid, err := l.ids()
		if err != nil {
			return err
		}
		if err := os.Chown(path, uid, gid); err != nil {
			return err
		}
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return err
	}
	l.files.mu.Lock()
	defer l.files.mu.Unlock()
	if l.files.made == nil {
		l.files.made = make(map[string]fileInfo)
	}
	l.files.made[id] = fileInfo{int64(len(data)), sha256.Sum256(data), offsets}
	return nil
}

func (l *Lab) queuePath(id string) string {
	return filepath.Join(l.queue, "active", id)
}

// buildFile makes the bytes of a queue file.
func buildFile(msg *Message, now time.Time) ([]byte, queuefile.Layout, error) {
	env := queuefile.Envelope{
		Arrival: now, QueueID: msg.ID, Context: "local", Sender: msg.Sender, EditRoom: msg.EditRoom,
	}
	for _, r := range msg.Recipients {
		env.Recipients = append(env.Recipients, queuefile.Recipient{
			Address: r.Address, Original: r.Original, ORcpt: r.ORcpt, Notify: int(r.Notify),
		})
	}
	if msg.Records == nil {
		return queuefile.Build(env, strings.NewReader(msg.Content))
	}
	dst := new(memory)
	w, err := queuefile.NewWriter(dst, env)
	if err != nil {
		return nil, queuefile.Layout{}, err
	}
	for _, r := range msg.Records {
		if err := w.Record(r.Type, []byte(r.Data)); err != nil {
			return nil, queuefile.Layout{}, err
		}
	}
	layout, err := w.Finish()
	if err == nil && msg.Truncated {
		dst.data = dst.data[:layout.DataOffset+layout.ContentSize]
	}
	return dst.data, layout, err
}

// memory is a file in memory.
type memory struct{ data []byte }

func (m *memory) Write(p []byte) (int, error) {
	m.data = append(m.data, p...)
	return len(p), nil
}

// WriteAt overwrites what is there already.
func (m *memory) WriteAt(p []byte, at int64) (int, error) {
	return copy(m.data[at:], p), nil
}

// A FileState is what became of a queue file.
type FileState struct {
	Exists  bool
	Mode    fs.FileMode // permission bits
	Marks   []byte      // for each recipient the type of its record: R to be delivered, D done
	Changed bool        // something else in the file is not as Queue wrote it
}

// File looks at the queue file of a message that Queue has written.
func (l *Lab) File(id string) (FileState, error) {
	l.files.mu.Lock()
	info, known := l.files.made[id]
	l.files.mu.Unlock()
	if !known {
		return FileState{}, fmt.Errorf("look at queue file %s: not made by this lab", id)
	}
	path := l.queuePath(id)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return FileState{}, nil
	}
	if err != nil {
		return FileState{}, fmt.Errorf("look at queue file: %w", err)
	}
	st, err := os.Stat(path)
	if err != nil {
		return FileState{}, fmt.Errorf("look at queue file: %w", err)
	}
	state := FileState{Exists: true, Mode: st.Mode().Perm()}
	for _, at := range info.offsets {
		if at >= int64(len(data)) {
			state.Marks = append(state.Marks, '?')
			continue
		}
		state.Marks = append(state.Marks, data[at])
		data[at] = 'R'
	}
	state.Changed = sha256.Sum256(data) != info.sum
	return state, nil
}
