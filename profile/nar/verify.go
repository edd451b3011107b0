package nar

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// HashError reports that a store object has another NAR hash than promised.
type HashError struct {
	Root      string // "nix/store/<hash>-<name>"
	Want, Got profile.Hash
	// AppleDouble is the path of a file that a program on macOS probably added, or "".
	AppleDouble string
}

func (e *HashError) Error() string {
	why := "it was changed or damaged"
	if e.AppleDouble != "" {
		why = fmt.Sprintf("it has %q, as tar on macOS adds for extended attributes", "/"+e.AppleDouble)
	}
	return fmt.Sprintf("NAR hash of %q is %s, not %s: %s", "/"+e.Root, e.Got, e.Want, why)
}

// SizeError reports that a store object has the promised NAR hash but another NAR size.
type SizeError struct {
	Root      string
	Want, Got int64
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("NAR of %q has %d bytes, not %d: its metadata is wrong", "/"+e.Root, e.Got, e.Want)
}

// Sum reads all contents of a store object and returns the hash and size of its NAR.
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

// Verify returns a tree that hashes the NAR of a store object while the caller reads its contents.
// A walk that reads all files in full ends with a [HashError] if the hash is not want,
// or a [SizeError] if the NAR does not have size bytes. A walk that reads less checks nothing.
func Verify(t rootfs.Tree, root string, want profile.Hash, size int64) rootfs.Tree {
	return Watch(t, root, func() Sink {
		v := &verifier{want: want, size: size, sum: sha256.New()}
		v.n.w = v.sum
		v.Writer = newWriter(&v.n, root, 2<<10) // a hash gains nothing from larger writes, and many objects are small
		return v
	})
}

// verifier is a Sink that knows the expected hash and size.
type verifier struct {
	*Writer
	want profile.Hash
	size int64
	sum  hash.Hash
	n    counter
	mac  appleDouble
}

func (v *verifier) Entry(e rootfs.Entry) error {
	v.mac.entry(e)
	return v.Writer.Entry(e)
}

func (v *verifier) Content(p []byte) {
	v.mac.content(p)
	v.Writer.Content(p)
}

func (v *verifier) End() error {
	if err := v.Writer.End(); err != nil {
		return err
	}
	if got := profile.Hash(v.sum.Sum(nil)); got != v.want {
		return &HashError{Root: v.root, Want: v.want, Got: got, AppleDouble: v.mac.found}
	}
	if v.n.n != v.size {
		return &SizeError{Root: v.root, Want: v.size, Got: v.n.n}
	}
	return nil
}
