package trust

import (
	"bytes"
	"fmt"
	"hash"
)

// modulo hashes an object that contains its own path, which is made of that hash
// (Nix, libstore/references.cc, HashModuloSink):
// each occurrence of the path's digest is hashed as zeros,
// and behind it all, where the occurrences were.
type modulo struct {
	h      hash.Hash
	digest []byte
	zeros  []byte
	held   []byte // what may be the beginning of an occurrence, and what was just written
	offset int64  // of held
	found  []int64
}

// maxFound is more often than any object contains its own path.
const maxFound = 1 << 20

func newModulo(h hash.Hash, digest string) *modulo {
	return &modulo{h: h, digest: []byte(digest), zeros: make([]byte, len(digest))}
}

func (m *modulo) Write(p []byte) (int, error) {
	m.held = append(m.held, p...)
	for at := 0; ; {
		i := bytes.Index(m.held[at:], m.digest)
		if i < 0 {
			break
		}
		at += i
		if len(m.found) <= maxFound {
			m.found = append(m.found, m.offset+int64(at))
		}
		at += copy(m.held[at:], m.zeros)
	}
	if done := len(m.held) - len(m.digest) + 1; done > 0 {
		m.pass(done)
	}
	return len(p), nil
}

// pass hashes the first n bytes of those that are held.
func (m *modulo) pass(n int) {
	m.h.Write(m.held[:n])
	m.offset += int64(n)
	m.held = append(m.held[:0], m.held[n:]...)
}

func (m *modulo) finish() error {
	if len(m.found) > maxFound {
		return fmt.Errorf("it contains its own path more than %d times", maxFound)
	}
	m.pass(len(m.held))
	for _, at := range m.found {
		fmt.Fprintf(m.h, "|%d", at)
	}
	return nil
}
