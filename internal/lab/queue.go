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

	"postlmtp/internal/request"
)

// A Message is what Queue makes a queue file of.
type Message struct {
	ID         string // the queue ID; default: one that is free
	Sender     string
	Recipients []request.Recipient // Offset is filled in by Queue

	// Content is the message with LF at the line ends. A last line without
	// one is unterminated in the queue file too. It is not used if Records
	// is set.
	Content string
	// Records are the content records as they are to be in the file. The end
	// record X follows them unless Truncated is set.
	Records   []QueueRecord
	Truncated bool // the file ends after the content
}

// A QueueRecord is one record of a queue file.
type QueueRecord struct {
	Type byte
	Data string
}

// recordLimit is the longest content record that cleanup(8) writes:
// line_length_limit.
const recordLimit = 2048

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
	b := buildFile(&msg, now)
	if err := l.writeFile(msg.ID, b); err != nil {
		return nil, fmt.Errorf("queue message: %w", err)
	}
	req := &request.Request{
		Flags:          request.MarkDone | request.Bounce,
		QueueName:      "active",
		QueueID:        msg.ID,
		Offset:         b.offset,
		Size:           b.size,
		Sender:         msg.Sender,
		Stamps:         request.Stamps{IncomingArrival: now, ActiveArrival: now},
		LogIdent:       msg.ID,
		RewriteContext: "local",
		Recipients:     slices.Clone(msg.Recipients),
	}
	for i := range req.Recipients {
		req.Recipients[i].Offset = b.offsets[i]
	}
	return req, nil
}

// writeFile writes a queue file and remembers what it was like.
func (l *Lab) writeFile(id string, b *fileBuilder) error {
	path := l.queuePath(id)
	if err := os.WriteFile(path, b.data, 0o700); err != nil {
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
	l.files.made[id] = fileInfo{int64(len(b.data)), sha256.Sum256(b.data), b.offsets}
	return nil
}

func (l *Lab) queuePath(id string) string {
	return filepath.Join(l.queue, "active", id)
}

// A fileBuilder collects the bytes of a queue file.
type fileBuilder struct {
	data    []byte
	offset  int64   // of the content
	size    int64   // of the content as the user sees it
	offsets []int64 // of the recipients
}

// buildFile makes a queue file as cleanup(8) leaves it.
func buildFile(msg *Message, now time.Time) *fileBuilder {
	b := new(fileBuilder)
	b.add('C', strings.Repeat(" ", 95))
	b.add('T', fmt.Sprintf("%010d %06d", now.Unix(), now.Nanosecond()/1000))
	b.add('A', "rewrite_context=local")
	b.add('S', msg.Sender)
	for _, r := range msg.Recipients {
		if r.ORcpt != "" {
			b.add('o', r.ORcpt)
		}
		if r.Notify != 0 {
			b.add('n', fmt.Sprint(int(r.Notify)))
		}
		b.add('O', r.Original)
		b.offsets = append(b.offsets, int64(len(b.data)))
		b.add('R', r.Address)
	}
	b.add('M', "")
	b.offset = int64(len(b.data))
	records := msg.Records
	if records == nil {
		records = contentRecords(msg.Content)
	}
	for _, r := range records {
		b.add(r.Type, r.Data)
		b.size += int64(len(r.Data))
		if r.Type == 'N' {
			b.size++
		}
	}
	end := int64(len(b.data))
	if !msg.Truncated {
		b.add('X', "")
		b.add('E', "")
	}
	size := fmt.Sprintf("%15d %15d %15d %15d %15d %15d", end-b.offset, b.offset, len(b.offsets), 0, b.size, 0)
	copy(b.data[2:], size)
	return b
}

// add appends one record: type, length in base 128, data.
func (b *fileBuilder) add(kind byte, data string) {
	b.data = append(b.data, kind)
	n := len(data)
	for ; n > 0x7f; n >>= 7 {
		b.data = append(b.data, byte(n)|0x80)
	}
	b.data = append(b.data, byte(n))
	b.data = append(b.data, data...)
}

// contentRecords splits a message into records as cleanup(8) does.
func contentRecords(content string) []QueueRecord {
	var all []QueueRecord
	for content != "" {
		line, rest, whole := strings.Cut(content, "\n")
		for len(line) > recordLimit {
			all = append(all, QueueRecord{'L', line[:recordLimit]})
			line = line[recordLimit:]
		}
		if whole {
			all = append(all, QueueRecord{'N', line})
		} else {
			all = append(all, QueueRecord{'L', line})
		}
		content = rest
	}
	return all
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
