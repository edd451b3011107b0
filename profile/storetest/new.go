package storetest

import (
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// New is a sample without objects, for tests that need a closure of their own.
func New(name string) *Sample {
	return &Sample{Name: name, trees: make(map[profile.Path]rootfs.Tree)}
}

// Add adds an object and makes it the root. It refers to the objects whose names are in refs, and consists of lines:
// "d PATH", "l PATH TARGET" and "f MODE PATH CONTENT", where the object itself is ".".
func (s *Sample) Add(t testing.TB, name, refs string, lines ...string) profile.Path {
	t.Helper()
	s.Root = s.add(t, name, refs, lines...)
	return s.Root
}

// PathOf is the path that an object of a name has in samples.
func PathOf(name string) profile.Path { return pathOf(name) }

// Tiny is two objects of a few hundred bytes.
func Tiny(t testing.TB) *Sample {
	s := New("tiny")
	s.Add(t, "leaf", "", "f 0555 . #!/bin/sh")
	s.Add(t, "tiny", "leaf tiny", "d .", "l sh "+string(pathOf("leaf")), "f 0444 me "+string(pathOf("tiny")))
	return s
}
