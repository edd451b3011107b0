package rootfs

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
)

// Ahead reads parts before their turn, at most limit at a time, including the one being walked.
// That helps with parts that are slow to unpack or far away.
// The returned parts have the same trees. To gain from Ahead, walk each once, in the order of [Join]:
// a walk in another order, or a second walk, reads the original tree.
//
// At most 2 MiB of each part are in memory, read but not walked yet, whatever its size.
// So of a larger part that has a Spool, all is unpacked into a temporary file instead, the largest part first:
// otherwise one processor would unpack it when its turn comes, while the others wait. See [spoolAhead].
// The part whose root is empty is not read ahead.
//
// The caller must call stop after its last walk; it ends all reading.
func Ahead(parts []Part, limit int) (ahead []Part, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &aheadReader{
		slots: make(chan struct{}, limit),
		quit:  ctx.Done(),
		free:  make(chan []byte, limit*aheadPieces),
	}
	ahead = slices.Clone(parts)
	var queue, large []*aheadPart
	for i := range ahead {
		if p := &ahead[i]; p.Root != "" {
			part := &aheadPart{aheadReader: r, part: *p, pieces: make(chan piece, aheadPieces), done: make(chan struct{})}
			p.Tree = part.walk
			if p.Spool != nil && p.Size > aheadPieces*pieceBytes {
				part.spooled = make(chan struct{})
				large = append(large, part)
			} else {
				queue = append(queue, part)
			}
		}
	}
	slices.SortStableFunc(queue, func(a, b *aheadPart) int { return ComparePaths(a.part.Root, b.part.Root) })
	r.spool(ctx, large, limit-1)
	r.group.Go(func() { r.start(queue) })
	return ahead, sync.OnceFunc(func() {
		cancel()
		r.group.Wait()
	})
}

const (
	aheadPieces = 32 // pieces of each part that are in memory
	pieceBytes  = 64 << 10
	maxIdle     = 100 // consecutive reads that return no bytes
)

// aheadReader reads several parts ahead.
type aheadReader struct {
	slots chan struct{} // one for each part that is being read or not yet walked, and for each worker that unpacks
	quit  <-chan struct{}
	free  chan []byte // buffers to reuse
	group sync.WaitGroup
}

func (r *aheadReader) start(queue []*aheadPart) {
	for _, part := range queue {
		select {
		case r.slots <- struct{}{}:
		case <-r.quit:
			return
		}
		if part.state.CompareAndSwap(unread, begun) {
			r.group.Go(part.read)
		} else {
			<-r.slots
		}
	}
}

// aheadPart is one part that is read ahead.
type aheadPart struct {
	*aheadReader
	part    Part
	pieces  chan piece
	whole   bool          // the tree ended without an error; set before pieces is closed
	done    chan struct{} // closed when the walk has ended
	spooled chan struct{} // closed when the part is unpacked; nil if it is not to be

	state atomic.Int32 // unread, begun, spooling or walked
}

const (
	unread   = iota // neither read ahead nor walked
	begun           // read ahead
	spooling        // unpacked, or about to be
	walked          // walked, with or without reading ahead
)

// piece is an entry with the beginning of its content, more of that content, or an error.
type piece struct {
	entry Entry // an empty path means more content of the previous entry
	data  []byte
	last  bool  // the content ends here
	err   error // from the content if last is set, otherwise from the tree
}

func (r *aheadPart) send(p piece) bool {
	select {
	case r.pieces <- p:
		return true
	case <-r.done:
	case <-r.quit:
	}
	return false
}

func (r *aheadPart) read() {
	defer close(r.pieces)
	for e, err := range r.part.Tree {
		if err != nil {
			r.send(piece{err: err})
			return
		}
		if e.IsRegular() {
			if !r.content(e) {
				return
			}
		} else if !r.send(piece{entry: e, last: true}) {
			return
		}
	}
	r.whole = true
}

// content sends a file, and reports whether the walk goes on.
func (r *aheadPart) content(e Entry) bool {
	from, err := e.Open()
	if err != nil {
		return r.send(piece{entry: e, last: true, err: err})
	}
	for p := (piece{entry: e}); ; p = (piece{}) {
		p.data = r.buffer()
		n := 0
		for idle := 0; n < len(p.data) && p.err == nil; idle++ {
			var m int
			m, p.err = from.Read(p.data[n:])
			if n += m; m > 0 {
				idle = 0
			}
			if idle == maxIdle && p.err == nil {
				p.err = io.ErrNoProgress
			}
		}
		p.data = p.data[:n]
		if p.last = p.err != nil; p.last {
			if p.err == io.EOF {
				p.err = nil
			}
			p.err = errors.Join(p.err, from.Close())
			return r.send(p)
		}
		if !r.send(p) {
			_ = from.Close() // the walk has ended and cannot report the error
			return false
		}
	}
}

func (r *aheadReader) buffer() []byte {
	select {
	case b := <-r.free:
		return b[:pieceBytes]
	default:
		return make([]byte, pieceBytes)
	}
}

func (r *aheadReader) recycle(p *piece) {
	if p.data != nil {
		select {
		case r.free <- p.data:
		default:
		}
		p.data = nil
	}
}

// walk yields the tree of the part, from its pieces if it is read ahead.
func (r *aheadPart) walk(yield func(Entry, error) bool) {
	switch before := r.state.Swap(walked); {
	case before == begun:
		defer func() { <-r.slots }()
	case before == spooling:
		<-r.spooled
		r.group.Go(r.read)
	case before == unread && r.spooled != nil:
		r.group.Go(r.read) // one processor unpacks, and another does the rest
	default:
		r.part.Tree(yield)
		return
	}
	defer func() {
		close(r.done)
		for p := range r.pieces { // wait for the reader to end
			r.recycle(&p)
		}
	}()
	for p := range r.pieces {
		if p.entry.Path == "" {
			yield(Entry{}, p.err)
			return
		}
		c := &aheadContent{r: r, piece: p}
		if p.entry.IsRegular() {
			p.entry.Open = c.open
		}
		if !yield(p.entry, nil) {
			return
		}
		if !c.skip() {
			break
		}
	}
	if !r.whole {
		yield(Entry{}, errStopped)
	}
}

var errStopped = errors.New("read ahead: stopped")

// aheadContent reads the current file of a walk from the pieces.
type aheadContent struct {
	r     *aheadPart
	piece piece
	taken int // bytes of piece.data that were read
}

func (c *aheadContent) open() (io.ReadCloser, error) {
	if c.piece.err != nil && len(c.piece.data) == 0 {
		return nil, c.piece.err
	}
	return io.NopCloser(c), nil
}

func (c *aheadContent) Read(b []byte) (int, error) {
	for c.taken == len(c.piece.data) {
		if c.piece.last {
			return 0, cmp.Or(c.piece.err, io.EOF)
		}
		if !c.next() {
			return 0, errStopped
		}
	}
	n := copy(b, c.piece.data[c.taken:])
	c.taken += n
	return n, nil
}

func (c *aheadContent) next() (ok bool) {
	c.r.recycle(&c.piece)
	c.piece, ok = <-c.r.pieces
	c.taken = 0
	return ok
}

// skip drops the unread rest of the content.
func (c *aheadContent) skip() bool {
	for !c.piece.last {
		if !c.next() {
			return false
		}
	}
	c.r.recycle(&c.piece)
	return true
}
