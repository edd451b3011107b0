package rootfs

import (
	"cmp"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
)

// Ahead reads parts before it is their turn. What is walked one after the other, and takes long to unpack or is far away,
// is then read several at a time: as many as most, the one that is walked among them.
// The parts have the same trees as before, to be walked in the order of [Join];
// who walks in another order, or again, reads for himself.
//
// Of what is read and not yet walked, a part has at most 2 MiB in memory, whatever its size.
// The part whose root is empty is read when it is walked.
//
// Stop ends all reading, and has to be called when nobody walks any more.
func Ahead(parts []Part, most int) (ahead []Part, stop func()) {
	r := &reader{
		slots: make(chan struct{}, most),
		quit:  make(chan struct{}),
		free:  make(chan []byte, most*aheadPieces),
	}
	ahead = slices.Clone(parts)
	var queue []*reading
	for i := range ahead {
		if p := &ahead[i]; p.Root != "" {
			one := &reading{reader: r, root: p.Root, tree: p.Tree, pieces: make(chan piece, aheadPieces), done: make(chan struct{})}
			p.Tree = one.walk
			queue = append(queue, one)
		}
	}
	slices.SortStableFunc(queue, func(a, b *reading) int { return ComparePaths(a.root, b.root) })
	r.group.Go(func() { r.start(queue) })
	return ahead, sync.OnceFunc(func() {
		close(r.quit)
		r.group.Wait()
	})
}

const (
	aheadPieces = 32 // of each part
	pieceBytes  = 64 << 10
	maxIdle     = 100 // reads in a row that bring nothing
)

// reader reads several parts.
type reader struct {
	slots chan struct{} // of those that are read or wait to be walked
	quit  chan struct{}
	free  chan []byte // pieces to be used again
	group sync.WaitGroup
}

func (r *reader) start(queue []*reading) {
	for _, one := range queue {
		select {
		case r.slots <- struct{}{}:
		case <-r.quit:
			return
		}
		if one.state.CompareAndSwap(unread, begun) {
			r.group.Go(one.read)
		} else {
			<-r.slots
		}
	}
}

// reading is a part that is read ahead.
type reading struct {
	*reader
	root   string
	tree   Tree
	pieces chan piece
	whole  bool          // all of it is in pieces; set before they are closed
	done   chan struct{} // nobody wants more

	state atomic.Int32 // unread, begun by its reader, or walked
}

const (
	unread = iota
	begun
	walked
)

// piece is an entry with the beginning of its content, more of it, or an error.
type piece struct {
	entry Entry // without a path: more of the content
	data  []byte
	last  bool  // of an entry's content
	err   error // of the content if it is the last piece of one, and else of the tree
}

func (r *reading) send(p piece) bool {
	select {
	case r.pieces <- p:
		return true
	case <-r.done:
	case <-r.quit:
	}
	return false
}

func (r *reading) read() {
	defer close(r.pieces)
	for e, err := range r.tree {
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

// content sends a file, and says whether anybody wants more.
func (r *reading) content(e Entry) bool {
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
			_ = from.Close() // nobody wants to know
			return false
		}
	}
}

func (r *reader) buffer() []byte {
	select {
	case b := <-r.free:
		return b[:pieceBytes]
	default:
		return make([]byte, pieceBytes)
	}
}

func (r *reader) recycle(p *piece) {
	if p.data != nil {
		select {
		case r.free <- p.data:
		default:
		}
		p.data = nil
	}
}

// walk is the tree of a part that is read ahead.
func (r *reading) walk(yield func(Entry, error) bool) {
	if r.state.Swap(walked) != begun {
		r.tree(yield)
		return
	}
	defer func() {
		close(r.done)
		for p := range r.pieces { // until the reader has ended
			r.recycle(&p)
		}
		<-r.slots
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

// aheadContent is what was read of the file that a walk is at.
type aheadContent struct {
	r     *reading
	piece piece
	taken int // of its data
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

// skip goes to the end of the content, as far as it was not read.
func (c *aheadContent) skip() bool {
	for !c.piece.last {
		if !c.next() {
			return false
		}
	}
	c.r.recycle(&c.piece)
	return true
}
