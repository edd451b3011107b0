package compress

import (
	"context"
	"crypto/sha256"
	"hash"

	"github.com/export-profile/export-profile/ocilayout/chunked"
)

// This file divides a tar for zstd:chunked. Three goroutines work on a layer, block by block:
//
//	Stream     divides blocks into pieces: what lies between files, whole files, and parts of large files
//	compress   cuts a piece into chunks, and makes a frame of each; several blocks at a time
//	collector  adds the entries to the TOC, in the order of the tar
//
// A file that fits into a block lies in one block. So what a piece is, and where it is cut, depends on the file alone.

// piece is a part of a block.
type piece struct {
	start, end  int            // in the block's input
	file        *chunked.Entry // nil between files
	first, last bool           // of the file's pieces

	// After compression:
	chunks []chunked.Chunk   // of a file; their offsets count from the beginning of the block's output
	outEnd int               // in the block's output
	sum    [sha256.Size]byte // of a file that is one piece
}

// divider is the part of a Stream that divides its tar into pieces.
type divider struct {
	*Stream
	tables *chunked.Writer
	start  int            // where in the block the current piece begins
	file   *chunked.Entry // whose piece it is; nil between files
	first  bool           // no piece of the file is finished
	carry  []byte         // what moves from a block to the next
	rest   []byte         // what was written into the window of a block that is full
}

// write adds bytes to the block.
func (d *divider) write(p []byte) error {
	for len(p) > 0 {
		n, _, event, err := d.tables.Scanner.Next(p)
		if err != nil {
			return err
		}
		for n > 0 {
			m := d.put(p[:n])
			p, n = p[m:], n-m
			if b := d.block; len(b.in) == cap(b.in) && (n > 0 || event != chunked.Ended) {
				if p, err = d.full(p); err != nil {
					return err
				}
			}
		}
		switch event {
		case chunked.Begun:
			p, err = d.begin(p)
		case chunked.Ended:
			d.end(len(d.block.in), true)
			d.file = nil
			if b := d.block; len(b.in) == cap(b.in) {
				p, err = d.turn(len(b.in), p)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// put adds bytes to the block as far as it has room.
func (d *divider) put(p []byte) int {
	b := d.block
	start := len(b.in)
	n := min(len(p), cap(b.in)-start)
	b.in = b.in[:start+n]
	if &b.in[start] != &p[0] { // p is not in the window
		copy(b.in[start:], p)
	}
	return n
}

// begin begins an entry. A file that does not fit into the rest of the block begins in the next one.
func (d *divider) begin(p []byte) (rest []byte, err error) {
	e := *d.tables.Scanner.Entry()
	b := d.block
	if e.Type != chunked.TypeFile || e.Size == 0 {
		b.pieces = append(b.pieces, piece{file: &e})
		return p, nil
	}
	d.end(len(b.in), false)
	if e.Size > int64(cap(b.in)-len(b.in)) {
		if p, err = d.turn(len(b.in), p); err != nil {
			return p, err
		}
	}
	d.file, d.first = &e, true
	return p, nil
}

// full makes room in a block that is full, within a file or between two.
func (d *divider) full(p []byte) (rest []byte, err error) {
	end := len(d.block.in)
	if d.file != nil { // it began at the beginning of this block, or an earlier one
		end = chunked.PieceEnd(d.block.in)
	}
	d.end(end, false)
	return d.turn(end, p)
}

// end ends the current piece, and begins the next one there.
func (d *divider) end(end int, last bool) {
	if end > d.start {
		d.block.pieces = append(d.block.pieces, piece{start: d.start, end: end, file: d.file, first: d.first, last: last})
	}
	d.start, d.first = end, false
}

// turn sends the block, but for what is behind end, which moves to the next block.
// p may lie in the window of this block. If so, rest has its bytes elsewhere.
func (d *divider) turn(end int, p []byte) (rest []byte, err error) {
	b := d.block
	d.carry = append(d.carry[:0], b.in[end:]...)
	if window := b.in[len(b.in):cap(b.in)]; len(p) > 0 && len(window) > 0 && &p[0] == &window[0] {
		d.rest = append(d.rest[:0], p...)
		p = d.rest
	}
	b.in = b.in[:end]
	if end > 0 {
		if err := d.send(); err != nil {
			return p, err
		}
		if err := d.next(); err != nil {
			return p, err
		}
	}
	d.block.in = append(d.block.in, d.carry...)
	d.start = 0
	return p, nil
}

// appendPieces appends the frames of a block's pieces to its output.
func (z *compressor) appendPieces(b *block) {
	for i := range b.pieces {
		p := &b.pieces[i]
		in := b.in[p.start:p.end]
		switch {
		case len(in) == 0:
		case p.file == nil:
			b.out = z.zstd.EncodeAll(in, b.out)
		default:
			b.cuts = chunked.AppendCuts(b.cuts[:0], in)
			at := 0
			for _, end := range b.cuts {
				chunk := in[at:end]
				p.chunks = append(p.chunks, chunked.Chunk{Size: int64(len(chunk)), Sum: sha256.Sum256(chunk), Offset: int64(len(b.out))})
				b.out = z.zstd.EncodeAll(chunk, b.out)
				at = end
			}
			if p.first && p.last {
				if p.sum = p.chunks[0].Sum; len(p.chunks) > 1 {
					p.sum = sha256.Sum256(in)
				}
			}
		}
		p.outEnd = len(b.out)
	}
}

// collector adds a layer's entries to its TOC.
type collector struct {
	tables *chunked.Writer
	offset int64           // of the next block in the blob
	chunks []chunked.Chunk // of the current file
	hash   hash.Hash       // of a file of several pieces
}

// add adds the entries of a compressed block.
func (c *collector) add(b *block) error {
	for _, p := range b.pieces {
		if p.file == nil {
			continue
		}
		for _, chunk := range p.chunks {
			chunk.Offset += c.offset
			c.chunks = append(c.chunks, chunk)
		}
		whole := p.first && p.last || len(p.chunks) == 0
		if !whole {
			if p.first {
				c.hash.Reset()
			}
			c.hash.Write(b.in[p.start:p.end])
			if !p.last {
				continue
			}
			c.hash.Sum(p.sum[:0])
		}
		if err := c.tables.Add(p.file, c.chunks, c.offset+int64(p.outEnd), p.sum); err != nil {
			return err
		}
		c.chunks = c.chunks[:0]
	}
	c.offset += int64(len(b.out))
	return nil
}

// packChunked does the work of Pack for zstd:chunked.
func (p *Pool) packChunked(ctx context.Context, w *sumWriter, produce func(context.Context, *Stream) error) (Result, error) {
	tables := chunked.NewWriter(p.tables, p.Spill)
	defer tables.Close()
	c := &collector{tables: tables, hash: sha256.New()}
	r, err := p.pack(ctx, w, tables, c.add, produce)
	if err != nil {
		return Result{}, err
	}
	r.Tables, err = tables.Finish(w.n, w)
	return r, err
}
