package trust

import (
	"bytes"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// ContentError says that an object is not what its content address, which its path is made of, promises.
type ContentError struct {
	Path   profile.Path
	CA     string
	Reason string
}

func (e *ContentError) Error() string {
	return fmt.Sprintf("content of %q is not that of its address %s: %s", e.Path, e.CA, e.Reason)
}

// VerifyContent passes the tree of an object on and hashes it, as its content address says, while its contents are read.
// A walk in which all contents were read to their ends ends with a [ContentError] if the hash is another.
// Where a content was not read there is no verdict.
func VerifyContent(t rootfs.Tree, info *profile.Info) rootfs.Tree {
	ca, err := ParseCA(info.CA)
	if err == nil {
		err = ca.vouch(info)
	}
	if err != nil {
		return func(yield func(rootfs.Entry, error) bool) {
			yield(rootfs.Entry{}, &SignatureError{info.Path, err.Error()})
		}
	}
	return ca.verify(t, info)
}

func (ca *CA) verify(t rootfs.Tree, info *profile.Info) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		h := algorithms[ca.Algorithm]()
		var s serializer = &fileSerializer{h: h}
		if ca.Method == NAR {
			self, _ := split(info)
			s = newNARSerializer(h, info.Path, self)
		}
		all := true
		for e, err := range rootfs.Check(info.Path.Root(), t) {
			if err == nil && all {
				if wrong := s.entry(e); wrong != nil {
					err = &ContentError{info.Path, info.CA, wrong.Error()}
				}
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
			seen := hashed{s: s, left: e.Size}
			watched := e
			watched.Open = func() (io.ReadCloser, error) {
				r, err := e.Open()
				if err != nil || seen.ReadCloser != nil || seen.left == 0 {
					return r, err // hashed already
				}
				seen.ReadCloser = r
				return &seen, nil
			}
			if !yield(watched, nil) {
				return
			}
			if all = seen.left == 0; all {
				s.endContent(e)
			}
		}
		if !all {
			return
		}
		got, err := s.sum()
		if err == nil && !bytes.Equal(got, ca.Hash) {
			err = fmt.Errorf("the hash is %x, not %x", got, ca.Hash)
		}
		if err != nil {
			yield(rootfs.Entry{}, &ContentError{info.Path, info.CA, err.Error()})
		}
	}
}

// serializer makes the bytes that a content address hashes.
type serializer interface {
	entry(rootfs.Entry) error // that no address of its kind can be of such an entry
	content([]byte)
	endContent(rootfs.Entry)
	sum() ([]byte, error)
}

// hashed is a content that is hashed as it is read.
type hashed struct {
	io.ReadCloser
	s    serializer
	left int64
}

func (h *hashed) Read(p []byte) (int, error) {
	n, err := h.ReadCloser.Read(p)
	if seen := min(int64(n), h.left); seen > 0 {
		h.s.content(p[:seen])
		h.left -= seen
	}
	return n, err
}

// fileSerializer is for objects that are one file, without its name or mode.
type fileSerializer struct{ h hash.Hash }

func (s *fileSerializer) entry(e rootfs.Entry) error {
	switch {
	case !e.IsRegular():
		return errors.New("it is no regular file")
	case e.Mode&0o111 != 0:
		return errors.New("it is executable, which the address says nothing of")
	}
	return nil
}

func (s *fileSerializer) content(p []byte)        { s.h.Write(p) }
func (s *fileSerializer) endContent(rootfs.Entry) {}
func (s *fileSerializer) sum() ([]byte, error)    { return s.h.Sum(nil), nil }
