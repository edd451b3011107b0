package storetest

import (
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// New returns a sample without objects, for tests that build their own closure.
func New(name string) *Sample {
	return &Sample{Name: name, trees: make(map[profile.Path]rootfs.Tree)}
}

// Add adds an object and makes it the root. It refers to the objects named in refs.
// The lines describe its entries: "d PATH", "l PATH TARGET" or "f MODE PATH CONTENT". The path "." is the object itself.
func (s *Sample) Add(t testing.TB, name, refs string, lines ...string) profile.Path {
	t.Helper()
	s.Root = s.add(t, name, refs, lines...)
	return s.Root
}

// PathOf returns the store path of the object called name in any sample.
func PathOf(name string) profile.Path { return pathOf(name) }

// Tiny returns a sample of two objects of a few hundred bytes.
func Tiny(t testing.TB) *Sample {
	s := New("tiny")
	s.Add(t, "leaf", "", "f 0555 . #!/bin/sh")
	s.Add(t, "tiny", "leaf tiny", "d .", "l sh "+string(pathOf("leaf")), "f 0444 me "+string(pathOf("tiny")))
	return s
}
