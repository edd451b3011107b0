package trust

import (
	"bytes"
	"fmt"
	"hash"
)

// moduloHash hashes an object that contains its own path, although the path is made from the hash
// (Nix, libstore/references.cc, HashModuloSink).
// It hashes zeros in place of each occurrence of the path's digest, and at the end the offsets of all occurrences.
type moduloHash struct {
	h       hash.Hash
	digest  []byte
	zeros   []byte
	pending []byte  // not hashed yet: it may end with the beginning of an occurrence
	offset  int64   // of pending
	found   []int64 // offsets of occurrences
}

// maxFound limits occurrences. No object contains its own path so often.
const maxFound = 1 << 20

func newModuloHash(h hash.Hash, digest string) *moduloHash {
	return &moduloHash{h: h, digest: []byte(digest), zeros: make([]byte, len(digest))}
}

func (m *moduloHash) Write(p []byte) (int, error) {
	m.pending = append(m.pending, p...)
	for at := 0; ; {
		i := bytes.Index(m.pending[at:], m.digest)
		if i < 0 {
			break
		}
		at += i
		if len(m.found) <= maxFound {
			m.found = append(m.found, m.offset+int64(at))
		}
		at += copy(m.pending[at:], m.zeros)
	}
	if done := len(m.pending) - len(m.digest) + 1; done > 0 {
		m.pass(done)
	}
	return len(p), nil
}

// pass hashes the first n pending bytes.
func (m *moduloHash) pass(n int) {
	m.h.Write(m.pending[:n])
	m.offset += int64(n)
	m.pending = append(m.pending[:0], m.pending[n:]...)
}

func (m *moduloHash) finish() error {
	if len(m.found) > maxFound {
		return fmt.Errorf("it contains its own path more than %d times", maxFound)
	}
	m.pass(len(m.pending))
	for _, at := range m.found {
		fmt.Fprintf(m.h, "|%d", at)
	}
	return nil
}
