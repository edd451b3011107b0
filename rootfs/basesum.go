package rootfs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// BaseSum is the key and the size of a base part, from its entries in path order.
// It is also how one who has only the entries finds out whether they are what a key promises.
type BaseSum struct {
	hash hash.Hash
	size int64
}

// NewBaseSum is that of no entries.
func NewBaseSum() *BaseSum { return &BaseSum{hash: sha256.New()} }

// Add adds the next entry. Content is the SHA-256 of a regular file's, and of nothing for all others.
func (s *BaseSum) Add(e Entry, content [sha256.Size]byte) {
	fmt.Fprintf(s.hash, "%q %o %d:%d %q %d %x\n", e.Path, uint32(e.Mode), e.UID, e.GID, e.Target, e.Size, content)
	s.size += e.Size
}

// Key is the Part's.
func (s *BaseSum) Key() string { return "sha256:" + hex.EncodeToString(s.hash.Sum(nil)) }

// Size is the Part's.
func (s *BaseSum) Size() int64 { return s.size }
