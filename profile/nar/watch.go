package nar

import (
	"io"

	"github.com/export-profile/export-profile/rootfs"
)

// Sink observes a tree while a caller of [Watch] walks it, in path order.
type Sink interface {
	Entry(rootfs.Entry) error // an error ends the walk

	// Content gets the content of a regular file piece by piece, after its Entry. EndContent follows the last piece.
	Content([]byte)
	EndContent(rootfs.Entry)

	// End follows the last entry if the caller has read every file to its end. Its error ends the walk.
	End() error
}

// Watch returns a tree that shows each walk of a store object's tree to a new sink, made by begin.
// If the caller does not read a file to its end, the sink sees nothing after it.
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
			seen := sinkReader{s: s, left: e.Size}
			shown := e
			shown.Open = func() (io.ReadCloser, error) {
				r, err := e.Open()
				if err != nil {
					return nil, err
				}
				if seen.ReadCloser != nil || seen.left == 0 {
					return r, nil // the sink sees only the first reading
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

// sinkReader shows the content of a file to a sink while the caller reads it.
type sinkReader struct {
	io.ReadCloser
	s    Sink
	left int64
}

func (r *sinkReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if seen := min(int64(n), r.left); seen > 0 {
		r.s.Content(p[:seen])
		r.left -= seen
	}
	return n, err
}
