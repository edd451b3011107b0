package decompress

import (
	"errors"
	"io"
	"sync"
)

// pipe holds bytes on their way from one goroutine to another.
// Unlike [io.Pipe], it takes them in chunks, and neither end waits for the other before the limit.
type pipe struct {
	mu     sync.Mutex
	moved  sync.Cond
	chunks []*chunk
	held   int   // memory of chunks
	limit  int   // of held; one chunk may exceed it
	err    error // follows the chunks, once the writer has ended
	broken bool  // nothing is written or read any more

	room     *room // has memory for the pipe
	reserved int   // of room
}

// chunk holds n bytes. Only the last chunk of a pipe is not full.
type chunk struct {
	b     [chunkSize]byte
	n     int
	taken int
}

const chunkSize = 128 << 10

var errBroken = errors.New("the reader was closed")

// newPipe returns a pipe for which the caller has reserved its limit.
func newPipe(room *room, limit int) *pipe {
	p := &pipe{limit: limit, room: room, reserved: limit}
	p.moved.L = &p.mu
	return p
}

// fill writes what r reads, until r fails, or the pipe is broken. It returns the error of r.
// The pipe's reader gets that error, or what last makes of it.
func (p *pipe) fill(r io.Reader, last func(error) error) error {
	for {
		c := p.room.chunk()
		err := c.fill(r)
		passed := err
		if err != nil && last != nil {
			passed = last(err)
		}
		ok := p.put(c, passed)
		if err != nil {
			return err
		}
		if !ok {
			return errBroken
		}
	}
}

// fill reads a whole chunk, or up to an error.
func (c *chunk) fill(r io.Reader) error {
	c.n, c.taken = 0, 0
	for idle := 0; c.n < chunkSize; idle++ {
		n, err := r.Read(c.b[c.n:])
		if c.n += n; n > 0 {
			idle = 0
		}
		if err == nil && idle == maxIdle {
			err = io.ErrNoProgress
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// maxIdle is how many reads may return nothing.
const maxIdle = 100

// put waits for room, and then adds a chunk, and the error that follows it. It returns false if the pipe is broken.
func (p *pipe) put(c *chunk, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c.n > 0 && p.held > 0 && p.held+chunkSize > p.limit && !p.broken {
		p.moved.Wait()
	}
	if c.n > 0 && !p.broken {
		p.held += chunkSize
		p.chunks = append(p.chunks, c)
	} else {
		p.room.putChunk(c)
	}
	p.err = err
	p.changed()
	return !p.broken
}

// Read waits for bytes, or the error that follows them.
func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.chunks) == 0 && p.err == nil && !p.broken {
		p.moved.Wait()
	}
	switch {
	case p.broken:
		return 0, errBroken
	case len(p.chunks) == 0:
		return 0, p.err
	}
	c := p.chunks[0]
	n := copy(b, c.b[c.taken:c.n])
	if c.taken += n; c.taken == c.n {
		p.chunks[0] = nil
		p.chunks = p.chunks[1:]
		p.free(c)
	}
	return n, nil
}

func (p *pipe) free(c *chunk) {
	p.room.putChunk(c)
	p.held -= chunkSize
	p.changed()
}

// changed wakes both ends, and gives memory back that the pipe cannot need any more.
func (p *pipe) changed() {
	need := p.held
	if p.err == nil && !p.broken {
		need = max(need, p.limit)
	}
	if need < p.reserved {
		p.room.free(p.reserved - need)
		p.reserved = need
	}
	p.moved.Broadcast()
}

// narrow lowers the limit for what comes. What the pipe holds stays.
func (p *pipe) narrow(limit int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = min(p.limit, limit)
	p.changed()
}

// end returns the error that follows the bytes, or nil.
func (p *pipe) end() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// breakUp ends both ends of the pipe, and drops what it holds.
func (p *pipe) breakUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = true
	for _, c := range p.chunks {
		p.free(c)
	}
	p.chunks = nil
	p.changed()
}
