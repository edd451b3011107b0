package nar

import (
	"io"

	"github.com/export-profile/export-profile/rootfs"
)

// Sink is told of a tree while somebody else walks it, in path order:
// of each entry, and then of its content, if it is a regular file.
type Sink interface {
	Entry(rootfs.Entry) error // an error ends the walk
	Content([]byte)
	EndContent(rootfs.Entry)
	// End follows the last entry if all contents were read. Its error ends the walk.
	End() error
}

// Watch passes the tree of a store object on and tells a sink, a new one for each walk, what is read of it.
// Where a content was not read to its end, the sink is told nothing more.
func Watch(t rootfs.Tree, root string, begin func() Sink) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		s := begin()
		all := true
		for e, err := range rootfs.Check(root, t) {
			if err == nil && all {
				err = s.Entry(e)
			}
			if err != nil {
				yield(rootfs.Entry{}, err)
				return
			}
			if !all || !e.IsRegular() {
				if !yield(e, nil) {
					return
				}
				continue
			}
			seen := watched{s: s, left: e.Size}
			shown := e
			shown.Open = func() (io.ReadCloser, error) {
				r, err := e.Open()
				if err != nil {
					return nil, err
				}
				if seen.ReadCloser != nil || seen.left == 0 {
					return r, nil // told already
				}
				seen.ReadCloser = r
				return &seen, nil
			}
			if !yield(shown, nil) {
				return
			}
			if all = seen.left == 0; all {
				s.EndContent(e)
			}
		}
		if !all {
			return
		}
		if err := s.End(); err != nil {
			yield(rootfs.Entry{}, err)
		}
	}
}

// watched is a content that a sink is told of as it is read.
type watched struct {
	io.ReadCloser
	s    Sink
	left int64
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if seen := min(int64(n), w.left); seen > 0 {
		w.s.Content(p[:seen])
		w.left -= seen
	}
	return n, err
}
