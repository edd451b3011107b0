package trust

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// narSerializer hashes the NAR of an object (see package nar) whose contents are read by somebody else.
type narSerializer struct {
	h      hash.Hash
	to     io.Writer // h, or what is before it
	modulo *modulo   // nil if the object does not refer to itself
	root   string
	open   []string // the directories that contain the next entry
	buf    []byte
}

func newNARSerializer(h hash.Hash, p profile.Path, self bool) *narSerializer {
	s := &narSerializer{h: h, to: h, root: p.Root()}
	if self {
		s.modulo = newModulo(h, p.Digest())
		s.to = s.modulo
	}
	s.strings("nix-archive-1")
	return s
}

func (s *narSerializer) entry(e rootfs.Entry) error {
	s.leave(e.Path)
	if e.Path != s.root {
		s.strings("entry", "(", "name", e.Path[strings.LastIndexByte(e.Path, '/')+1:], "node")
	}
	switch {
	case e.IsDir():
		s.strings("(", "type", "directory")
		s.open = append(s.open, e.Path)
	case e.IsLink():
		s.strings("(", "type", "symlink", "target", e.Target)
		s.end(e.Path)
	default:
		s.strings("(", "type", "regular")
		if e.Mode&0o100 != 0 {
			s.strings("executable", "")
		}
		s.strings("contents")
		s.write(binary.LittleEndian.AppendUint64(nil, uint64(e.Size)))
	}
	return nil
}

func (s *narSerializer) content(p []byte) { s.write(p) }

func (s *narSerializer) endContent(e rootfs.Entry) {
	s.write(make([]byte, -e.Size&7))
	s.end(e.Path)
}

func (s *narSerializer) sum() ([]byte, error) {
	s.leave("")
	if s.modulo != nil {
		if err := s.modulo.finish(); err != nil {
			return nil, err
		}
	}
	return s.h.Sum(nil), nil
}

// leave ends the directories that path is not in.
func (s *narSerializer) leave(path string) {
	for n := len(s.open); n > 0 && !rootfs.Within(s.open[n-1], path); n-- {
		s.end(s.open[n-1])
		s.open = s.open[:n-1]
	}
}

// end ends a node, and the entry that it is in.
func (s *narSerializer) end(path string) {
	s.strings(")")
	if path != s.root {
		s.strings(")")
	}
}

func (s *narSerializer) strings(words ...string) {
	s.buf = s.buf[:0]
	for _, word := range words {
		s.buf = binary.LittleEndian.AppendUint64(s.buf, uint64(len(word)))
		s.buf = append(s.buf, word...)
		s.buf = append(s.buf, make([]byte, -len(word)&7)...)
	}
	s.write(s.buf)
}

func (s *narSerializer) write(p []byte) { _, _ = s.to.Write(p) } // a hash takes everything

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
