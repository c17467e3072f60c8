package lmtp

import "sync"

const (
	// chunkLimit is how much content a chunk has, at most.
	chunkLimit = 64 << 10
	// chunkRoom is the room in front of it, for the command and, in a small
	// message, for the envelope.
	chunkRoom = 8 << 10
)

// A ChunkPool keeps the buffers of chunks that nobody uses now. A transaction
// has one while it fills and sends a chunk, and none while it waits for final
// replies. The zero value is an empty pool.
type ChunkPool struct{ free sync.Pool }

type chunkBuffer [chunkRoom + chunkLimit]byte

func (p *ChunkPool) get() *chunkBuffer {
	if b, ok := p.free.Get().(*chunkBuffer); ok {
		return b
	}
	return new(chunkBuffer)
}

func (p *ChunkPool) put(b *chunkBuffer) { p.free.Put(b) }
