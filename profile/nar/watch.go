package nar

import (
	"io"

	"github.com/export-profile/export-profile/rootfs"
)

// Sink observes a tree while a caller of [Watch] walks it, in path order.
type Sink interface {
	Entry(rootfs.Entry) error // an error ends the walk

	// Content gets the content of a regular file piece by piece, after its Entry. EndContent follows.
	Content([]byte)
	EndContent(rootfs.Entry)

	// End follows the last entry if the caller has read all contents. Its error ends the walk.
	End() error
}

// Watch returns a tree that shows the walks of a store object's tree to a sink. Each walk begins a new sink.
// If the caller does not read a content to its end, the sink sees nothing after it.
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
					return r, nil // the sink has seen it
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

// watched shows a content to a sink while it is read.
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
