package decompress

import (
	"io"
	"sync"
	"sync/atomic"
)

// Workers decode pieces of files; see the package's comment. A nil *Workers has none.
type Workers struct {
	slots chan struct{} // holds one for each busy worker
	least least
	room  room
}

// least says what is too small for other goroutines to pay.
type least struct {
	passed int64 // bytes of a file, packed, that are decoded before workers help: most NARs are smaller, or have a single piece
	size   int   // of a piece, decoded
	mean   int64 // packed size of the pieces so far, if a piece does not declare its size
}

var worthwhile = least{passed: 1 << 20, size: 512 << 10, mean: 128 << 10}

// roomPerWorker is the memory for bytes of pieces, packed and decoded. A block of xz -6 has 24 MiB decoded, and a frame that Nix writes has 16.
// The piece whose turn it is needs little, so this is enough for all workers.
const roomPerWorker = 24 << 20

// NewWorkers returns n workers. One could not help, as a reader decodes in its caller's goroutine: NewWorkers then returns nil.
func NewWorkers(n int) *Workers {
	if n < 2 {
		return nil
	}
	most := n * roomPerWorker
	return &Workers{slots: make(chan struct{}, n), least: worthwhile, room: room{most: most, left: most}}
}

// Count returns the number of workers.
func (w *Workers) Count() int {
	if w == nil {
		return 0
	}
	return cap(w.slots)
}

// NewReader is like the function NewReader. But the workers read r from other goroutines until Close returns:
// the caller of Close must make a read of r that waits return.
func (w *Workers) NewReader(name string, r io.Reader) (io.ReadCloser, error) {
	return w.newReader(name, r, nil)
}

// NewFileReader is like the function NewFileReader. For Close see NewReader.
func (w *Workers) NewFileReader(name string, r io.Reader, trailing func()) (io.ReadCloser, error) {
	return w.newReader(name, r, trailing)
}

func (w *Workers) newReader(name string, r io.Reader, trailing func()) (io.ReadCloser, error) {
	if w == nil {
		return newReader(name, r, trailing)
	}
	src := &source{r: r}
	switch name {
	case "xz":
		z := newPieces(w, src, newXZPieces(src, trailing != nil), trailing)
		return reader(name, z, z.close), nil
	case "zstd":
		h := &headReader{r: src}
		z := newPieces(w, src, newZstdPieces(h, trailing != nil), trailing)
		d := reader(name, z, z.close)
		d.window = h.window
		return d, nil
	}
	return newReader(name, r, trailing)
}

// take takes a worker, and memory for a piece, if both are there.
func (w *Workers) take(p piece) bool {
	select {
	case w.slots <- struct{}{}:
	default:
		return false
	}
	if !w.room.take(p.packed + p.size) {
		<-w.slots
		return false
	}
	return true
}

// room is memory that pipes share.
type room struct {
	mu     sync.Mutex
	most   int
	left   int
	chunks []*chunk // for reuse, until all memory is free
}

func (r *room) take(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n > r.left {
		return false
	}
	r.left -= n
	return true
}

func (r *room) free(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left += n; r.left == r.most {
		r.chunks = nil
	}
}

// chunk returns a chunk for memory that was taken.
func (r *room) chunk() *chunk {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.chunks) - 1
	if n < 0 {
		return new(chunk)
	}
	c := r.chunks[n]
	r.chunks = r.chunks[:n]
	return c
}

func (r *room) putChunk(c *chunk) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left < r.most {
		r.chunks = append(r.chunks, c)
	}
}

// source is what a reader reads, until it is closed.
type source struct {
	r      io.Reader
	closed atomic.Bool
}

func (s *source) Read(p []byte) (int, error) {
	if s.closed.Load() {
		return 0, errBroken
	}
	return s.r.Read(p)
}
