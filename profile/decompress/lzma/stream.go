package lzma

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// A match of marker+1 bytes back marks the end of a stream. Its length is minMatch.
const marker = math.MaxUint32

var errMarker = errors.New("a marker")

// LongestSymbol is how many compressed bytes a symbol may need.
const LongestSymbol = 20

// pieceSize is how much is decoded at once. It stays in the processor's cache.
const pieceSize = 64 << 10

// Stream decodes streams with end markers. Other bytes may stand before, between and behind them.
// At least LongestSymbol bytes must follow each stream. So no symbol is decoded that the input does not contain as a whole.
type Stream struct {
	Decoder
	r      io.Reader
	err    error // of r; its last bytes are in in
	code   rangeDecoder
	have   int    // bytes in in; the next one is in[code.next]
	before uint64 // bytes before in[0]
}

// ResetInput makes r the input.
func (s *Stream) ResetInput(r io.Reader) {
	s.r, s.err, s.code, s.have, s.before = r, nil, rangeDecoder{}, 0, 0
}

// Offset returns how many bytes of the input have been decoded or skipped.
func (s *Stream) Offset() uint64 { return s.before + uint64(s.code.next) }

// Peek returns the next n bytes, at most 64 KiB. If the input ends before, it returns what is left, and the error.
func (s *Stream) Peek(n int) ([]byte, error) {
	if have := s.have - s.code.next; have < n && s.err == nil {
		s.before += uint64(s.code.next)
		copy(s.in[:], s.in[s.code.next:s.have])
		more, err := io.ReadAtLeast(s.r, s.in[have:maxPacked], n-have)
		if err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		s.code.next, s.have, s.err = 0, have+more, err
	}
	b := s.in[s.code.next:s.have]
	if len(b) < n {
		return b, s.err
	}
	return b[:n], nil
}

// Skip skips n bytes that Peek has returned.
func (s *Stream) Skip(n int) { s.code.next += n }

// Begin begins a stream, with a new model and an empty window.
func (s *Stream) Begin() error {
	if _, err := s.Peek(rangeStart); err != nil {
		return early(err)
	}
	code, ok := s.in.begin(s.code.next)
	if !ok {
		return ErrDamaged
	}
	s.code = code
	s.Reset()
	s.ForgetWindow()
	return nil
}

// Next returns the next piece of output, which is valid until the next call. At the end marker the error is io.EOF.
// An error may come with what was decoded before it.
func (s *Stream) Next() ([]byte, error) {
	margin := maxSymbol
	if _, err := s.Peek(margin); err != nil {
		if margin = LongestSymbol; s.have-s.code.next < margin {
			return nil, early(err)
		}
	}
	s.dict.room(pieceSize + maxMatch)
	begin := s.dict.pos
	var err error
	s.code, err = s.run(s.code, s.have-margin, begin+pieceSize, begin+pieceSize+maxMatch)
	if err == errMarker {
		err = s.end()
	}
	return s.dict.buf[begin:s.dict.pos], err
}

// end checks the end of a stream, behind its marker.
func (s *Stream) end() error {
	s.code = s.code.fill(&s.in)
	switch {
	case s.marker != minMatch:
		return fmt.Errorf("marker %d: %w", s.marker-minMatch, errors.ErrUnsupported)
	case s.code.next > s.have:
		s.code.next = s.have
		return early(s.err)
	case s.code.code != 0:
		return ErrDamaged
	}
	return io.EOF
}
