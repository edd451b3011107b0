package storetest

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/rootfs"
)

// Small is as little as has all kinds of entries and a reference: each bit of it can be changed in turn.
func Small(t testing.TB) *Sample {
	s := &Sample{Name: "small", trees: make(map[profile.Path]rootfs.Tree)}
	s.add(t, "lib", "", "d .", "f 0444 data content")
	s.Root = s.add(t, "top", "lib", "d .", "f 0555 run "+string(pathOf("lib")), "l to "+string(pathOf("lib"))+"/data")
	return s
}

// Large is one file of zeros, which is never in memory.
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

// WriteNario2 writes what nix nario export --format 2 of Determinate Nix does.
func (s *Sample) WriteNario2(t testing.TB) string {
	t.Helper()
	var b bytes.Buffer
	number := func(n uint64) { b.Write(binary.LittleEndian.AppendUint64(nil, n)) }
	str := func(s string) {
		number(uint64(len(s)))
		b.WriteString(s + strings.Repeat("\x00", -len(s)&7))
	}
	b.WriteString("NARIO2\x00\x00")
	for _, info := range s.Infos {
		number(1)
		str(info.Path.Base())
		str("")
		str(info.NarHash.Hex())
		number(uint64(len(info.References)))
		for _, r := range info.References {
			str(r.Base())
		}
		number(1700000000)
		number(uint64(info.NarSize))
		number(0)
		number(0)
		str("")
		if err := nar.Write(&b, s.trees[info.Path], info.Path.Root()); err != nil {
			t.Fatal(err)
		}
	}
	number(0)
	return writeFile(t, s.Name+".nario2", b.Bytes())
}
