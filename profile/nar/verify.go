package nar

import (
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// HashError says that a store object is not what its NAR hash promises.
type HashError struct {
	Root      string // "nix/store/<hash>-<name>"
	Want, Got profile.Hash
}

func (e *HashError) Error() string {
	return fmt.Sprintf("NAR hash of %q is %s, not %s: it was changed or damaged", "/"+e.Root, e.Got, e.Want)
}

// SizeError says that a store object has the NAR hash it promises but another size.
type SizeError struct {
	Root      string
	Want, Got int64
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("NAR of %q has %d bytes, not %d: what is said of it is wrong", "/"+e.Root, e.Got, e.Want)
}

// Sum reads all of a store object and is the hash and the length of its NAR.
func Sum(t rootfs.Tree, root string) (profile.Hash, int64, error) {
	h := sha256.New()
	n := &counter{w: h}
	if err := Write(n, t, root); err != nil {
		return profile.Hash{}, 0, err
	}
	return profile.Hash(h.Sum(nil)), n.n, nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Verify passes the tree of a store object on and hashes its NAR while its contents are read.
// A walk in which all contents were read to their ends
// ends with a [HashError] if the hash is not the one wanted, or a [SizeError] if it has not size bytes.
// Where a content was not read there is no verdict.
func Verify(t rootfs.Tree, root string, want profile.Hash, size int64) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		h := sha256.New()
		n := &counter{w: h}
		w := newWriter(n, root)
		all := true
		for e, err := range rootfs.Check(root, t) {
			if err != nil {
				yield(rootfs.Entry{}, err)
				return
			}
			if !all {
				if !yield(e, nil) {
					return
				}
				continue
			}
			w.entry(e)
			if !e.IsRegular() {
				if !yield(e, nil) {
					return
				}
				continue
			}
			seen := hashed{w: w, left: e.Size}
			watched := e
			watched.Open = func() (io.ReadCloser, error) {
				r, err := e.Open()
				if err != nil {
					return nil, err
				}
				if seen.ReadCloser != nil || seen.left == 0 {
					return r, nil // hashed already
				}
				seen.ReadCloser = r
				return &seen, nil
			}
			if !yield(watched, nil) {
				return
			}
			all = seen.left == 0
			if all {
				w.endContent(e)
			}
		}
		if !all {
			return
		}
		w.end()
		if got := profile.Hash(h.Sum(nil)); got != want {
			yield(rootfs.Entry{}, &HashError{Root: root, Want: want, Got: got})
		} else if n.n != size {
			yield(rootfs.Entry{}, &SizeError{Root: root, Want: size, Got: n.n})
		}
	}
}

// hashed is a content that is hashed as it is read.
type hashed struct {
	io.ReadCloser
	w    *writer
	left int64
}

func (h *hashed) Read(p []byte) (int, error) {
	n, err := h.ReadCloser.Read(p)
	if seen := min(int64(n), h.left); seen > 0 {
		h.w.content(p[:seen])
		h.left -= seen
	}
	return n, err
}
