package compress

import (
	"context"
	"hash"
	"hash/crc32"
	"io"
)

// Stream cuts what is written to it into blocks, and hashes it.
type Stream struct {
	ctx    context.Context
	pool   *Pool
	hash   hash.Hash
	crc    uint32 // for gzip
	size   int64
	block  *block      // that is being filled, never full
	blocks chan *block // in order; there is room for all that there are
}

func (s *Stream) next() (err error) {
	s.block, err = s.pool.take(s.ctx)
	return err
}

// Window is room for what is written next: what is appended to it and written need not be copied.
// It is empty, has a capacity, and is good until the next Write.
func (s *Stream) Window() []byte {
	in := s.block.in
	return in[len(in):len(in):min(len(in)+windowBytes, cap(in))]
}

// Write adds to the stream what was appended to a window, or anything else.
func (s *Stream) Write(p []byte) (int, error) {
	s.hash.Write(p)
	if s.pool.method.algorithm == algorithmGzip {
		s.crc = crc32.Update(s.crc, crc32.IEEETable, p)
	}
	s.size += int64(len(p))
	for rest := p; len(rest) > 0; {
		b := s.block
		start := len(b.in)
		n := min(len(rest), cap(b.in)-start)
		b.in = b.in[:start+n]
		if &b.in[start] != &rest[0] { // not a window of it
			copy(b.in[start:], rest)
		}
		rest = rest[n:]
		if len(b.in) < cap(b.in) {
			continue
		}
		s.send()
		if err := s.next(); err != nil {
			return len(p) - len(rest), err
		}
	}
	return len(p), nil
}

func (s *Stream) send() {
	s.pool.compress(s.block)
	s.blocks <- s.block
	s.block = nil
}

// finish sends the last block, or gives it back.
func (s *Stream) finish(err error) {
	switch {
	case s.block == nil:
	case err != nil || len(s.block.in) == 0:
		s.pool.blocks <- s.block
		s.block = nil
	default:
		s.send()
	}
}

// sumWriter counts and, if it has a hash, hashes.
type sumWriter struct {
	w    io.Writer
	hash hash.Hash
	n    int64
}

func (s *sumWriter) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.n += int64(n)
	if s.hash != nil {
		s.hash.Write(p[:n])
	}
	return n, err
}
