package binarycache

import (
	"io"
	"sync"
)

// decodeAhead reads from a decompressor in a goroutine of its own:
// one large NAR alone keeps two processors busy, one that decompresses and one that hashes and packs.
// At most aheadBytes are in memory, read but not taken yet.
type decodeAhead struct {
	pieces chan piece
	quit   chan struct{}
	ended  chan struct{} // closed after the last read
	stop   func()        // makes a read that waits for the network return

	piece piece // the current one
	taken int   // bytes of it
}

type piece struct {
	data []byte
	err  error // after data
}

const (
	aheadBytes  = 2 << 20
	aheadPieces = 16
	maxIdle     = 100 // consecutive reads that return no bytes
	// minAhead is the size of a NAR from which another goroutine pays.
	minAhead = 1 << 20
	// minPieces is the size of a NAR from which workers may help. A smaller one seldom has several pieces.
	minPieces = 8 << 20
	// fewWorkers are no help with a compression that is fast to read: decodeAhead and what hashes and packs keep two processors busy.
	fewWorkers = 2
)

// aheadBuffers holds pieces for reuse.
var aheadBuffers = sync.Pool{New: func() any { b := make([]byte, aheadBytes/aheadPieces); return &b }}

func newDecodeAhead(z io.Reader, stop func()) *decodeAhead {
	a := &decodeAhead{
		pieces: make(chan piece, aheadPieces-2), // another is being filled, and another taken
		quit:   make(chan struct{}), ended: make(chan struct{}), stop: stop,
	}
	go a.read(z)
	return a
}

func (a *decodeAhead) read(z io.Reader) {
	defer close(a.ended)
	for p := (piece{}); p.err == nil; {
		p.data = *aheadBuffers.Get().(*[]byte)
		n, idle := 0, 0
		for n < len(p.data) && p.err == nil && (n == 0 || len(a.pieces) > 0) { // no need to wait for more if the walk waits
			var m int
			m, p.err = z.Read(p.data[n:])
			n += m
			if idle++; m > 0 {
				idle = 0
			} else if idle == maxIdle && p.err == nil {
				p.err = io.ErrNoProgress
			}
		}
		p.data = p.data[:n]
		select {
		case a.pieces <- p:
		case <-a.quit:
			return
		}
	}
}

func (a *decodeAhead) Read(b []byte) (int, error) {
	for a.taken == len(a.piece.data) {
		if a.piece.err != nil {
			return 0, a.piece.err
		}
		a.recycle()
		a.piece, a.taken = <-a.pieces, 0
	}
	n := copy(b, a.piece.data[a.taken:])
	a.taken += n
	return n, nil
}

func (a *decodeAhead) recycle() {
	if b := a.piece.data; cap(b) > 0 {
		b = b[:cap(b)]
		aheadBuffers.Put(&b)
		a.piece.data = nil
	}
}

// Close waits until nothing reads from the decompressor any more.
func (a *decodeAhead) Close() {
	close(a.quit)
	select {
	case <-a.ended: // don't stop what has ended: a connection at its end can be reused
	default:
		a.stop()
		<-a.ended
	}
}
