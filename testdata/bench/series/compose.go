package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/ocilayout/chunked"
)

// A year by one strategy has up to 100 GB in different layers, but all strategies together have the same objects.
// In a zstd:chunked blob a frame depends on its file alone. So we build the blob of each object once, by the product,
// and compose layers of several objects from the frames and tables of those: the sizes, and every byte of the TOC, are those
// that the product would make. The digest of the TOC covers the place of each frame and the digest of the tar-split data.
// TestCompose compares it with that of the product.

// The format of the product's blobs, see packages compress and chunked.
const (
	blockBytes  = 4 << 20 // a file that does not fit into the rest of a block begins in the next one
	skippable   = 8       // bytes before the content of a skippable frame
	footerBytes = 64
	tarEnd      = 1024 // zeros
)

// composer composes a blob.
type composer struct {
	frames *zstd.Encoder
	offset int64 // in the blob
	fill   int   // of the current block
	piece  []byte
	out    []byte

	toc, split encoded
	count      int // entries of the TOC
	lines      int // of the tar-split data
}

// encoded is a table that grows.
type encoded struct {
	*zstd.Encoder
	compressed bytes.Buffer
	size       int64
}

func (e *encoded) add(b []byte) error {
	e.size += int64(len(b))
	_, err := e.Write(b)
	return err
}

func newComposer() (*composer, error) {
	c := &composer{}
	var errs [3]error
	table := []zstd.EOption{zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true)}
	c.frames, errs[0] = zstd.NewWriter(nil, append(table, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(1)), zstd.WithWindowSize(blockBytes))...)
	c.toc.Encoder, errs[1] = zstd.NewWriter(nil, append(table, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(256<<10))...)
	c.split.Encoder, errs[2] = zstd.NewWriter(nil, append(table, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(1<<20))...)
	return c, errors.Join(errs[:]...)
}

// compose returns the blob of a layer of objects, and its compressed TOC.
func (c *composer) compose(parts []*skeleton) (blob, []byte, error) {
	c.offset, c.fill, c.piece, c.count, c.lines = 0, 0, nil, 0, 0
	for _, e := range []*encoded{&c.toc, &c.split} {
		e.compressed.Reset()
		e.size = 0
		e.Reset(&e.compressed)
	}
	var padding []byte
	for n, s := range parts {
		for _, step := range s.steps {
			if n > 0 && (step.entry.Name == "nix/" || step.entry.Name == "nix/store/") {
				continue
			}
			if err := c.step(append(padding, step.before...), step); err != nil {
				return blob{}, nil, err
			}
			padding = nil
		}
		padding = bytes.Clone(s.end[:len(s.end)-tarEnd])
		if n == len(parts)-1 {
			c.put(s.end)
			if err := c.segment(s.end); err != nil {
				return blob{}, nil, err
			}
		}
	}
	c.flush()
	return c.finish()
}

// step adds an entry.
func (c *composer) step(before []byte, s step) error {
	c.put(before)
	if err := c.segment(before); err != nil {
		return err
	}
	if s.entry.Size > 0 {
		c.flush()
		if s.entry.Size > int64(blockBytes-c.fill) {
			c.fill = 0
		}
	}
	all := append([]chunked.Entry{s.entry}, s.chunks...)
	for _, e := range all {
		if s.entry.Size > 0 {
			e.Offset += c.offset
			if e.EndOffset > 0 {
				e.EndOffset += c.offset
			}
		}
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		head := ","
		if c.count == 0 {
			head = `{"version":1,"entries":[`
		}
		if err := c.toc.add([]byte(head + string(text))); err != nil {
			return err
		}
		c.count++
	}
	if s.entry.Size > 0 {
		c.offset += s.frames
		if c.fill += s.rest; c.fill == blockBytes {
			c.fill = 0
		}
	}
	return c.contents(s)
}

// put adds bytes that lie between files.
func (c *composer) put(b []byte) {
	for len(b) > 0 {
		n := min(len(b), blockBytes-c.fill)
		c.piece = append(c.piece, b[:n]...)
		b = b[n:]
		if c.fill += n; c.fill == blockBytes {
			c.flush()
			c.fill = 0
		}
	}
}

// flush makes a frame of what lies between files.
func (c *composer) flush() {
	if len(c.piece) > 0 {
		c.out = c.frames.EncodeAll(c.piece, c.out[:0])
		c.offset += int64(len(c.out))
		c.piece = c.piece[:0]
	}
}

// segment adds a line to the tar-split data.
func (c *composer) segment(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	return c.line(fmt.Sprintf(`{"type":2,"payload":"%s"`, base64.StdEncoding.EncodeToString(b)))
}

// contents adds the line of a file or another entry to the tar-split data.
func (c *composer) contents(s step) error {
	name, err := json.Marshal(s.entry.Name)
	if err != nil {
		return err
	}
	if s.entry.Size == 0 {
		return c.line(fmt.Sprintf(`{"type":1,"name":%s,"payload":null`, name))
	}
	sum := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, s.crc))
	return c.line(fmt.Sprintf(`{"type":1,"name":%s,"size":%d,"payload":"%s"`, name, s.entry.Size, sum))
}

func (c *composer) line(begin string) error {
	c.lines++
	return c.split.add([]byte(fmt.Sprintf("%s,\"position\":%d}\n", begin, c.lines-1)))
}

func (c *composer) finish() (b blob, toc []byte, err error) {
	if err := c.split.Close(); err != nil {
		return b, nil, err
	}
	split := c.split.compressed.Bytes()
	if err := c.toc.add([]byte(fmt.Sprintf(`],"tarSplitDigest":%q}`, digest.FromBytes(split)))); err != nil {
		return b, nil, err
	}
	if err := c.toc.Close(); err != nil {
		return b, nil, err
	}
	toc = c.toc.compressed.Bytes()
	b.Tables.Digest = digest.FromBytes(toc)
	b.Tables.TOC = chunked.Span{Offset: c.offset + skippable, Length: int64(len(toc)), Uncompressed: c.toc.size}
	b.Tables.TarSplit = chunked.Span{Offset: b.Tables.TOC.Offset + b.Tables.TOC.Length + skippable, Length: int64(len(split)), Uncompressed: c.split.size}
	b.Size = b.Tables.TarSplit.Offset + b.Tables.TarSplit.Length + skippable + footerBytes
	return b, toc, nil
}

// composable reports whether a layer has only store objects, and more than one.
func (l *layer) composable() bool {
	for _, p := range l.parts {
		if !strings.HasPrefix(p.Root, storeRoot+"/") {
			return false
		}
	}
	return len(l.parts) > 1 && len(l.hidden) == 0
}

// compose sets the blob of a layer.
func (b *builder) compose(ctx context.Context, l *layer) (toc []byte, err error) {
	var parts []*skeleton
	for _, p := range sortedParts(l.parts) {
		s, err := b.skeleton(ctx, p)
		if err != nil {
			return nil, err
		}
		parts = append(parts, s)
	}
	l.blob, toc, err = b.composer.compose(parts)
	return toc, err
}
