package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/export-profile/export-profile/ocilayout/chunked"
	"github.com/export-profile/export-profile/rootfs"
)

// skeleton is the layer of one object without the contents of files.
type skeleton struct {
	steps []step
	end   []byte // of the tar: padding and zeros
}

// step is an entry of the tar.
type step struct {
	before []byte          // padding of the entry before, and headers
	entry  chunked.Entry   // offsets count from its first frame
	chunks []chunked.Entry // further ones
	frames int64           // bytes
	crc    uint64
	rest   int // bytes of the file in its last block
}

// skeleton returns the skeleton of an object, which it builds if necessary.
func (b *builder) skeleton(ctx context.Context, p rootfs.Part) (*skeleton, error) {
	if s := b.skeletons[p.Key]; s != nil {
		return s, nil
	}
	l := newLayer([]rootfs.Part{p}, nil)
	if err := b.build(ctx, &l); err != nil {
		return nil, err
	}
	if l.blob.Tables == (chunked.Location{}) {
		return nil, fmt.Errorf("%s: the layer has no tables", p.Name)
	}
	s, err := b.readSkeleton(l)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	if err := s.findRests(p); err != nil {
		return nil, err
	}
	b.skeletons[p.Key] = s
	return s, nil
}

func (b *builder) readSkeleton(l layer) (*skeleton, error) {
	s := &skeleton{}
	err := b.entries(l, func(e *chunked.Entry) error {
		c := *e
		if e.Type == chunked.TypeChunk {
			last := &s.steps[len(s.steps)-1]
			c.Offset -= last.frames // of the file, until the loop below
			if c.EndOffset > 0 {
				c.EndOffset -= last.frames
			}
			last.chunks = append(last.chunks, c)
			return nil
		}
		c.Offset, c.EndOffset = 0, e.EndOffset-e.Offset
		s.steps = append(s.steps, step{entry: c, frames: e.Offset})
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range s.steps {
		s.steps[i].frames = s.steps[i].entry.EndOffset
	}
	toc, err := os.Open(b.file(l.id, ".toc"))
	if err != nil {
		return nil, err
	}
	defer toc.Close()
	t, err := chunked.ReadTOC(toc, l.blob.Tables)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(b.file(l.id, ".split"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := chunked.NewSplitReader(f, l.blob.Tables, t.TarSplitDigest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for i := 0; ; {
		p, err := r.Next()
		switch {
		case err == io.EOF && i == len(s.steps) && len(s.end) >= tarEnd:
			return s, nil
		case err != nil:
			return nil, err
		case p.Segment != nil && i < len(s.steps):
			s.steps[i].before = bytes.Clone(p.Segment)
		case p.Segment != nil:
			s.end = bytes.Clone(p.Segment)
		case i < len(s.steps) && s.steps[i].entry.Name == p.Name:
			s.steps[i].crc = p.CRC
			i++
		default:
			return nil, fmt.Errorf("tar-split data have %q in another place than the TOC", p.Name)
		}
	}
}

// findRests finds how full the last block of each file is. Only large files have several.
func (s *skeleton) findRests(p rootfs.Part) error {
	large := make(map[string]int)
	for e, err := range p.Tree {
		if err != nil {
			return err
		}
		if e.Size <= blockBytes {
			continue
		}
		r, err := e.Open()
		if err != nil {
			return err
		}
		content, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
		for len(content) > blockBytes {
			content = content[chunked.PieceEnd(content[:blockBytes]):]
		}
		large[e.Path] = len(content)
	}
	for i := range s.steps {
		e := s.steps[i].entry
		if s.steps[i].rest = int(e.Size); e.Size > blockBytes {
			s.steps[i].rest = large[e.Name]
		}
	}
	return nil
}
