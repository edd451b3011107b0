package xz

import "io"

// Block is a block of a file. It does not depend on other blocks.
type Block struct {
	// Packed and Size are how many bytes the block takes in the file, and how many it becomes, as its header declares.
	// The header may lie. If it does not declare both, they are 0.
	Packed, Size uint64
	// Window is the size of its window.
	Window uint64

	kind byte // of the check
}

// mostPacked bounds declared sizes, so that no sum of them overflows.
const mostPacked = 1 << 62

// NextBlock reads up to a block, and its header. At the end of the file it returns io.EOF.
//
// The caller must then read the block with ReadPacked, or, if its size is not known, the rest of the file with Read.
func (z *Reader) NextBlock() (Block, error) {
	for z.stage != atChunk && z.err == nil {
		_, z.err = z.next() // no stage but atChunk has output
	}
	if z.err != nil {
		return Block{}, z.err
	}
	b := Block{Window: z.block.window, kind: z.stream.flags[1]}
	if z.block.packed < mostPacked && z.block.size < mostPacked {
		b.Packed, b.Size = uint64(len(z.block.header))+z.block.tail(), z.block.size
	}
	z.packed = b.Packed
	return b, nil
}

// tail returns how many bytes follow the header of a block.
func (b *block) tail() uint64 { return b.packed + -b.packed&3 + b.checkSize() }

func (b *block) checkSize() uint64 {
	if b.check == nil {
		return 0
	}
	return uint64(b.check.Size())
}

// ReadPacked reads the block that NextBlock has found as it is in the file. It returns io.EOF at the end of the block.
//
// It takes the block's word for its sizes: a reader of ResetBlock checks them.
func (z *Reader) ReadPacked(p []byte) (int, error) {
	if z.err != nil {
		return 0, z.err
	}
	if z.packed == 0 {
		return 0, io.EOF
	}
	if tail := z.block.tail(); z.packed > tail {
		n := copy(p, z.block.header[uint64(len(z.block.header))-(z.packed-tail):])
		z.packed -= uint64(n)
		return n, nil
	}
	n, err := z.r.Read(p[:min(uint64(len(p)), z.packed)])
	z.packed -= uint64(n)
	if z.packed == 0 {
		z.stage = atBlock
		z.stream.add(&z.block, z.block.packed, z.block.size)
	}
	z.err = early(err)
	return n, z.err
}

// ResetBlock makes z a reader of one block, whose bytes ReadPacked of another Reader has read.
func (z *Reader) ResetBlock(r io.Reader, b Block, o Options) {
	z.Reset(&onlyBlock{r, b.Packed}, o)
	check, err := newCheck(b.kind)
	z.stage, z.alone, z.stream, z.err = atBlock, true, stream{check: check}, err
}

// onlyBlock reads the bytes of a block. The block is false if its content goes on behind them.
type onlyBlock struct {
	r    io.Reader
	left uint64
}

func (r *onlyBlock) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, errSizes
	}
	n, err := r.r.Read(p[:min(uint64(len(p)), r.left)])
	r.left -= uint64(n)
	return n, err
}
