package decompress

import (
	"io"
	"sync"
)

// pieces reads a file piece by piece. Workers decode pieces before their turn.
//
// The format belongs to the goroutine that reads, or to another one that splits the file while workers are free.
// What is not decoded by workers, such as the first piece, is decoded by the goroutine that reads.
type pieces struct {
	workers  *Workers
	src      *source
	format   format
	trailing func()

	// These belong to the goroutine that reads.
	current io.Reader // decodes the current piece; nil between two
	task    *task     // that of current, or nil
	free    func()    // of current
	err     error     // that Read returns from now on

	// These belong to the owner of the format.
	passed int64 // packed bytes
	count  int64 // pieces
	failed error // of the file

	mu        sync.Mutex
	changed   sync.Cond
	splitting bool    // another goroutine owns the format
	found     *piece  // the next piece; nothing of it has been read
	end       error   // follows the last piece
	queue     []*task // after the current one
	stopped   bool
	group     sync.WaitGroup
}

// format splits a file.
type format interface {
	// find goes to the next piece. After the last one it returns io.EOF.
	find() (piece, error)
	// Read reads the piece as it is in the file, until io.EOF.
	io.Reader
	// decoder decodes a piece. Several goroutines call it.
	decoder(p piece, r io.Reader) (io.Reader, func(), error)
	// foundTrailing reports whether other data follow the last piece.
	foundTrailing() bool
	close()
}

// piece is a piece of a file.
type piece struct {
	packed, size int  // memory that it needs, as it is and decoded, if it is decoded before its turn
	known        bool // the file declares the size
	apart        bool // it can be decoded apart
	xz           xzBlock
}

// task is a piece that a worker decodes.
type task struct {
	piece   piece
	in, out *pipe
}

// turnLimit limits what is decoded of a piece whose turn it is, but not read yet.
const turnLimit = 1 << 20

func newPieces(w *Workers, src *source, f format, trailing func()) *pieces {
	z := &pieces{workers: w, src: src, format: f, trailing: trailing}
	z.changed.L = &z.mu
	return z
}

func (z *pieces) Read(p []byte) (int, error) {
	for z.err == nil {
		if z.current == nil {
			if z.err = z.next(); z.err != nil {
				break
			}
		}
		if z.task != nil {
			z.split()
		}
		n, err := z.current.Read(p)
		if err == io.EOF {
			z.release()
			err = nil
		}
		if err == io.ErrUnexpectedEOF && z.task == nil && z.failed != nil {
			err = z.failed // not every decoder returns the error that it got
		}
		if z.err = err; err != nil {
			z.stop()
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
	return 0, z.err
}

// next begins with the next piece.
func (z *pieces) next() error {
	z.mu.Lock()
	defer z.mu.Unlock()
	for {
		switch {
		case len(z.queue) > 0:
			z.task, z.queue = z.queue[0], z.queue[1:]
			z.task.out.narrow(turnLimit)
			z.current = z.task.out
			return nil
		case z.splitting:
			z.changed.Wait()
		case z.end != nil:
			if z.end == io.EOF && z.format.foundTrailing() {
				z.trailing()
			}
			return z.end
		case z.found == nil:
			z.find()
		case !z.begin():
			p := *z.found
			z.found = nil
			z.count++
			r, free, err := z.format.decoder(p, packed{z})
			if err != nil {
				return err
			}
			z.current, z.free = r, free
			return nil
		}
	}
}

// release ends the current piece.
func (z *pieces) release() {
	if z.free != nil {
		z.free()
	}
	z.current, z.task, z.free = nil, nil, nil
}

func (z *pieces) find() {
	p, err := z.format.find()
	if err != nil {
		z.end = err
		return
	}
	z.found = &p
}

// packed reads the piece that was found.
type packed struct{ *pieces }

func (z packed) Read(p []byte) (int, error) {
	n, err := z.format.Read(p)
	z.passed += int64(n)
	if err != nil && err != io.EOF {
		z.failed = err
	}
	return n, err
}

// split begins to split the file if nothing does.
func (z *pieces) split() {
	z.mu.Lock()
	defer z.mu.Unlock()
	if !z.splitting && z.found != nil {
		z.begin()
	}
}

// begin gives the piece that was found to a worker, and splits what follows, in another goroutine. It returns false if no worker is free.
func (z *pieces) begin() bool {
	t := z.start()
	if t == nil {
		return false
	}
	z.splitting = true
	z.group.Go(func() {
		for t != nil {
			t = z.pass(t)
		}
	})
	return true
}

// pass passes a piece to its worker, and starts with the next piece. If it cannot, it returns nil, and splitting has ended.
func (z *pieces) pass(t *task) *task {
	err := t.in.fill(packed{z}, nil)
	var p piece
	if err == io.EOF {
		p, err = z.format.find()
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	t = nil
	if z.end = err; err == nil {
		z.found = &p
		t = z.start()
	}
	z.splitting = t != nil
	z.changed.Broadcast()
	return t
}

// start gives the piece that was found to a worker. It returns nil if none is free, or if the piece is better decoded when its turn comes.
func (z *pieces) start() *task {
	p := *z.found
	least := &z.workers.least
	if z.stopped || !p.apart || z.count == 0 || z.passed < least.passed {
		return nil
	}
	if p.known && p.size < least.size || !p.known && z.passed/z.count < least.mean {
		return nil
	}
	p.packed, p.size = roundUp(p.packed), roundUp(p.size)
	if p.packed+p.size > z.workers.room.most || !z.workers.take(p) {
		return nil
	}
	t := &task{p, newPipe(&z.workers.room, p.packed), newPipe(&z.workers.room, p.size)}
	z.found = nil
	z.count++
	z.queue = append(z.queue, t)
	z.group.Go(func() { z.decode(t) })
	return t
}

// roundUp returns the memory of a pipe that holds n bytes.
func roundUp(n int) int { return (n + chunkSize - 1) / chunkSize * chunkSize }

// decode is what a worker does.
func (z *pieces) decode(t *task) {
	r, free, err := z.format.decoder(t.piece, t.in)
	if err != nil {
		r, free = failingReader{err}, func() {}
	}
	var ended func()
	ended = func() { // before the pipe's reader sees it, so that it finds a free worker
		<-z.workers.slots
		ended = func() {}
	}
	_ = t.out.fill(r, func(err error) error { // passes the error on
		ended()
		if end := t.in.end(); err == io.ErrUnexpectedEOF && end != nil && end != io.EOF {
			err = end // not every decoder returns the error that it got
		}
		if err != io.EOF {
			t.in.breakUp()
		}
		return err
	})
	ended()
	free()
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// stop makes all goroutines end, but does not wait for them.
func (z *pieces) stop() {
	z.src.closed.Store(true)
	z.mu.Lock()
	defer z.mu.Unlock()
	z.stopped = true
	tasks := z.queue
	if z.task != nil {
		tasks = append(tasks, z.task)
	}
	for _, t := range tasks {
		t.in.breakUp()
		t.out.breakUp()
	}
}

func (z *pieces) close() {
	z.stop()
	z.group.Wait()
	z.release()
	z.format.close()
}
