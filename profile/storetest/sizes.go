package storetest

import (
	"io"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/rootfs"
)

// Small returns the smallest sample with all kinds of entries and a reference, for tests that flip each bit.
func Small(t testing.TB) *Sample {
	s := &Sample{Name: "small", trees: make(map[profile.Path]rootfs.Tree)}
	s.add(t, "lib", "", "d .", "f 0444 data content")
	s.Root = s.add(t, "top", "lib", "d .", "f 0555 run "+string(pathOf("lib")), "l to "+string(pathOf("lib"))+"/data")
	return s
}

// Large returns a sample with one file of zeros, which is never held in memory.
func Large(t testing.TB, size int64) *Sample {
	s := &Sample{Name: "large", Root: pathOf("zeros"), trees: make(map[profile.Path]rootfs.Tree)}
	s.trees[s.Root] = func(yield func(rootfs.Entry, error) bool) {
		yield(rootfs.File(s.Root.Root(), 0o444, size, func() (io.ReadCloser, error) {
			return io.NopCloser(io.LimitReader(zeros{}, size)), nil
		}), nil)
	}
	info := &profile.Info{Path: s.Root}
	var err error
	if info.NarHash, info.NarSize, err = nar.Sum(s.trees[s.Root], s.Root.Root()); err != nil {
		t.Fatal(err)
	}
	s.Infos = []*profile.Info{info}
	return s
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
