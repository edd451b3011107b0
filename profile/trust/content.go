package trust

import (
	"bytes"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/rootfs"
)

// ContentError reports that an object's content does not match the content address in its path.
type ContentError struct {
	Path   profile.Path
	CA     string
	Reason string
}

func (e *ContentError) Error() string {
	return fmt.Sprintf("content of %q does not match its address %s: %s", e.Path, e.CA, e.Reason)
}

// verify returns a tree that hashes the object while the caller reads its contents; see [Require].
func (ca *CA) verify(t rootfs.Tree, info *profile.Info) rootfs.Tree {
	return nar.Watch(t, info.Path.Root(), func() nar.Sink {
		v := verifier{ca: ca, info: info, h: algorithms[ca.Algorithm]()}
		if ca.Method != NAR {
			return &fileVerifier{v}
		}
		self, _ := split(info)
		return newNARVerifier(v, self)
	})
}

// verifier compares the hash of an object with its content address.
type verifier struct {
	ca   *CA
	info *profile.Info
	h    hash.Hash
}

func (v *verifier) check() error {
	if got := v.h.Sum(nil); !bytes.Equal(got, v.ca.Hash) {
		return v.fail(fmt.Errorf("the hash is %x, not %x", got, v.ca.Hash))
	}
	return nil
}

func (v *verifier) fail(why error) error {
	return &ContentError{v.info.Path, v.info.CA, why.Error()}
}

// narVerifier hashes a NAR with the object's own digest replaced by zeros.
type narVerifier struct {
	*nar.Writer
	verifier
	modulo *moduloHash // nil if the object does not refer to itself
}

func newNARVerifier(v verifier, self bool) *narVerifier {
	n := &narVerifier{verifier: v}
	to := io.Writer(v.h)
	if self {
		n.modulo = newModuloHash(v.h, v.info.Path.Digest())
		to = n.modulo
	}
	n.Writer = nar.NewWriter(to, v.info.Path.Root())
	return n
}

func (n *narVerifier) End() error {
	if err := n.Writer.End(); err != nil {
		return err
	}
	if n.modulo != nil {
		if err := n.modulo.finish(); err != nil {
			return n.fail(err)
		}
	}
	return n.check()
}

// fileVerifier hashes the content of an object that is a single file.
type fileVerifier struct{ verifier }

func (f *fileVerifier) Entry(e rootfs.Entry) error {
	switch {
	case !e.IsRegular():
		return f.fail(errors.New("it is not a regular file"))
	case e.Mode&0o111 != 0:
		return f.fail(errors.New("it is executable, which its address does not cover"))
	}
	return nil
}

func (f *fileVerifier) Content(p []byte)        { f.h.Write(p) }
func (f *fileVerifier) EndContent(rootfs.Entry) {}
func (f *fileVerifier) End() error              { return f.check() }
