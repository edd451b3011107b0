package lzma

import "io"

// Chunk reads a chunk of packed bytes, at most 64 KiB, and decodes it to n bytes, at most 2 MiB.
// They are valid until the next call. An early end of r is io.ErrUnexpectedEOF.
func (z *Decoder) Chunk(r io.Reader, packed, n int) ([]byte, error) {
	if _, err := io.ReadFull(r, z.in[:packed]); err != nil {
		return nil, early(err)
	}
	begin, ok := z.in.begin(0)
	if packed < rangeStart || !ok {
		return nil, ErrDamaged
	}
	piece := z.dict.room(n)
	end := z.dict.pos + n
	code, err := z.run(begin, packed, end, end)
	code = code.fill(&z.in)
	if err != nil || z.dict.pos != end || code.next != packed || code.code != 0 {
		return nil, ErrDamaged
	}
	return piece, nil
}

// Plain reads n bytes, at most 2 MiB, which are not compressed. They are valid until the next call.
func (z *Decoder) Plain(r io.Reader, n int) ([]byte, error) {
	piece := z.dict.room(n)
	_, err := io.ReadFull(r, piece)
	z.dict.pos += n
	return piece, early(err)
}

// early turns io.EOF into io.ErrUnexpectedEOF.
func early(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
