package compress

import (
	"context"
	"hash"
	"hash/crc32"
	"io"
)

// Stream cuts the tar that is written to it into blocks, and hashes it.
type Stream struct {
	ctx    context.Context
	pool   *Pool
	hash   hash.Hash
	crc    uint32 // for gzip
	size   int64
	block  *block      // the block being filled, which is never full
	blocks chan *block // filled blocks in order, with room for all blocks of the pool

	divider *divider // for zstd:chunked
}

func (s *Stream) next() (err error) {
	s.block, err = s.pool.take(s.ctx)
	return err
}

// Window returns an empty slice with capacity for the next Write. Bytes that are appended to it
// and then written need not be copied. It is valid until the next Write.
func (s *Stream) Window() []byte {
	in := s.block.in
	return in[len(in):len(in):min(len(in)+windowBytes, cap(in))]
}

// Write adds bytes to the stream, from a window or from anywhere else.
func (s *Stream) Write(p []byte) (int, error) {
	s.hash.Write(p)
	if s.pool.method.algorithm == algorithmGzip {
		s.crc = crc32.Update(s.crc, crc32.IEEETable, p)
	}
	s.size += int64(len(p))
	if s.divider != nil {
		if err := s.divider.write(p); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	for rest := p; len(rest) > 0; {
		b := s.block
		start := len(b.in)
		n := min(len(rest), cap(b.in)-start)
		b.in = b.in[:start+n]
		if &b.in[start] != &rest[0] { // p is not in the window
			copy(b.in[start:], rest)
		}
		rest = rest[n:]
		if len(b.in) < cap(b.in) {
			continue
		}
		err := s.send()
		if err == nil {
			err = s.next()
		}
		if err != nil {
			return len(p) - len(rest), err
		}
	}
	return len(p), nil
}

// send starts to compress the block that was filled. The stream then has no block.
func (s *Stream) send() error {
	b := s.block
	s.block = nil
	if err := s.pool.start(s.ctx, b); err != nil {
		s.pool.put(b)
		return err
	}
	s.blocks <- b
	return nil
}

// finish sends the last block, or returns it to the pool if it is empty or err is not nil.
func (s *Stream) finish(err error) error {
	switch {
	case s.block == nil:
	case err != nil || len(s.block.in) == 0:
		s.pool.put(s.block)
		s.block = nil
	default:
		if s.divider != nil {
			s.divider.end(len(s.block.in), false)
		}
		return s.send()
	}
	return err
}

// sumWriter counts the bytes that it writes, and hashes them if it has a hash.
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
