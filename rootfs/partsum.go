package rootfs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// PartSum computes the key and the size of the part whose root is empty, from its entries in path order.
// A reader of a finished image uses it to check that the entries match the key.
type PartSum struct {
	hash hash.Hash
	size int64
}

// NewPartSum returns the sum of no entries.
func NewPartSum() *PartSum { return &PartSum{hash: sha256.New()} }

// Add adds the next entry, with the SHA-256 of its content as [SumContent] returns it.
func (s *PartSum) Add(e Entry, content [sha256.Size]byte) {
	fmt.Fprintf(s.hash, "%q %o %d:%d %q %d %x\n", e.Path, uint32(e.Mode), e.UID, e.GID, e.Target, e.Size, content)
	s.size += e.Size
}

// Key returns the key of a part with these entries.
func (s *PartSum) Key() string { return "sha256:" + hex.EncodeToString(s.hash.Sum(nil)) }

// Size returns the size of a part with these entries.
func (s *PartSum) Size() int64 { return s.size }

// SumContent returns the SHA-256 of a regular file's content, and of the empty string for any other entry.
func SumContent(e Entry) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	if e.IsRegular() {
		r, err := e.Open()
		if err != nil {
			return sum, err
		}
		n, err := io.Copy(h, r)
		if err == nil && n != e.Size {
			err = fmt.Errorf("%d bytes instead of %d", n, e.Size)
		}
		if err := errors.Join(err, r.Close()); err != nil {
			return sum, err
		}
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}
