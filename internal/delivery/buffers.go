package delivery

import (
	"sync"

	"postlmtp/internal/queuefile"
)

// wireBuffer is how much of the content is passed on at a time.
const wireBuffer = 32 << 10

// buffers are what the way from the queue file to the server needs for a
// moment. A delivery holds them while it sends its content only.
type buffers struct {
	records []byte // of queuefile.BufferSize
	wire    []byte
}

// bufferPool keeps the buffers that nobody uses.
type bufferPool struct{ sync.Pool }

func (p *bufferPool) get() *buffers {
	if b, ok := p.Get().(*buffers); ok {
		return b
	}
	return &buffers{make([]byte, queuefile.BufferSize), make([]byte, 0, wireBuffer)}
}

func (p *bufferPool) put(b *buffers) { p.Put(b) }
