package exportstore

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/profile/storetest"
)

// said is what precedes a NAR in a stream of the second kind.
type said struct {
	path, deriver, hash string
	refs                []string
	size, ultimate      uint64
	sigs                []string
	ca                  string
}

func sayOf(path string, content []byte, refs ...string) said {
	sum := sha256.Sum256(content)
	return said{path: path, hash: hex.EncodeToString(sum[:]), refs: refs, size: uint64(len(content))}
}

func (s said) bytes() []byte {
	b := cat(str(s.path), str(s.deriver), str(s.hash), number(uint64(len(s.refs))))
	for _, r := range s.refs {
		b = append(b, str(r)...)
	}
	b = cat(b, number(1700000000), number(s.size), number(s.ultimate), number(uint64(len(s.sigs))))
	for _, sig := range s.sigs {
		b = append(b, str(sig)...)
	}
	return append(b, str(s.ca)...)
}

func nario2(entries ...[]byte) []byte {
	return cat([]byte(nario2Magic), cat(entries...), number(0))
}

const (
	baseA = "00000000000000000000000000000000-a"
	baseB = "11111111111111111111111111111111-b"
)

// TestNario2 checks what was read from source alone: no stream of this kind was at hand.
func TestNario2(t *testing.T) {
	a, b := fileNAR("a"), fileNAR("b")
	full := sayOf(baseB, b, baseA, baseB)
	full.deriver, full.ultimate, full.sigs, full.ca = baseA+".drv", 1, []string{"k-1:AAAA", "l-1:BBBB"}, "fixed:r:sha256:0000"
	stream := nario2(number(1), sayOf(baseA, a).bytes(), a, number(1), full.bytes(), b)
	s, err := openBytes(t, stream, Options{})
	if err != nil {
		t.Fatal(err)
	}
	hash := func(b []byte) profile.Hash { return profile.Hash(sha256.Sum256(b)) }
	for _, want := range []*profile.Info{
		{Path: pathA, NarHash: hash(a), NarSize: int64(len(a))},
		{Path: pathB, NarHash: hash(b), NarSize: int64(len(b)), References: []profile.Path{pathA, pathB},
			Deriver: pathA + ".drv", Signatures: full.sigs, CA: full.ca},
	} {
		got, err := s.Info(t.Context(), want.Path)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("Info(%q): %v (-want +got):\n%s", want.Path, err, d)
		}
		if lines, err := storetest.List(s.Files(t.Context(), want.Path)); err != nil || len(lines) != 1 {
			t.Errorf("Files(%q) = %q, %v; want one file", want.Path, lines, err)
		}
	}
}

func TestNario2Golden(t *testing.T) {
	var entries [][]byte
	s, err := openBytes(t, golden(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range storetest.GoldenInfos(t) {
		var b strings.Builder
		if err := nar.Write(&b, s.Files(t.Context(), info.Path), info.Path.Root()); err != nil {
			t.Fatal(err)
		}
		var refs []string
		for _, r := range info.References {
			refs = append(refs, r.Base())
		}
		entries = append(entries, number(1), sayOf(info.Path.Base(), []byte(b.String()), refs...).bytes(), []byte(b.String()))
	}
	for kind, open := range openers {
		t.Run(kind, func(t *testing.T) {
			s, err := open(t, nario2(entries...), Options{SpoolDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			storetest.Golden(t, s)
		})
	}
}

func TestNario2Refuses(t *testing.T) {
	a := fileNAR("a")
	ok := sayOf(baseA, a)
	entry := func(change func(*said)) []byte {
		s := ok
		change(&s)
		return nario2(number(1), s.bytes(), a)
	}
	for _, test := range []struct {
		name   string
		stream []byte
		err    string
	}{
		{"another hash", entry(func(s *said) { s.hash = strings.Repeat("0", 64) }), "changed or damaged"},
		{"another size", entry(func(s *said) { s.size++ }), "has 120 bytes, not 121"},
		{"no size", entry(func(s *said) { s.size = 0 }), "NAR of 0 bytes"},
		{"size of 2^63", entry(func(s *said) { s.size = 1 << 63 }), "NAR of 9223372036854775808 bytes"},
		{"hash with its name", entry(func(s *said) { s.hash = "sha256:" + s.hash }), "not a SHA-256 in hexadecimal"},
		{"hash that is none", entry(func(s *said) { s.hash = strings.Repeat("z", 64) }), "hash"},
		{"full path", entry(func(s *said) { s.path = pathA }), "store path"},
		{"no path", entry(func(s *said) { s.path = "" }), "store path"},
		{"reference that is none", entry(func(s *said) { s.refs = []string{"x"} }), "references of"},
		{"deriver that is none", entry(func(s *said) { s.deriver = "x" }), "deriver"},
		{"ultimate is no bool", entry(func(s *said) { s.ultimate = 2 }), "number 2 where 1 or 0"},
		{"many signatures", entry(func(s *said) { s.sigs = make([]string, 1000) }), "1000 signatures"},
		{"long signature", entry(func(s *said) { s.sigs = []string{strings.Repeat("x", 5000)} }), "string of 5000 bytes"},
		{"difference", nario2(number(2), ok.bytes(), str("zstd")), `"` + pathA + `" comes as a difference`},
		{"name alone", nario2(number(3), ok.bytes()), `"` + pathA + `" comes by its name alone`},
		{"compressed", nario2(number(4), ok.bytes(), str("zstd")), `"` + pathA + `" comes compressed in itself`},
		{"unknown", nario2(number(5), ok.bytes()), "number 5 where 1 or 0"},
		{"first kind inside", nario2(number(1), a, trailer(pathA)), "store path"},
		{"one path, two contents", nario2(number(1), ok.bytes(), a, number(1), sayOf(baseA, fileNAR("b")).bytes(), fileNAR("b")), "comes twice"},
		{"two streams", cat(nario2(), nario2()), "another export stream"},
		{"then the first kind", cat(nario2(), number(1), a), "another export stream"},
		{"after the first kind", cat(number(1), a, trailer(pathA), number(0), nario2()), "another export stream"},
		{"something behind", cat(nario2(), []byte("x")), "something behind the end"},
	} {
		if s, err := openBytes(t, test.stream, Options{}); err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: Open() = %v, %v; want an error with %q", test.name, s, err, test.err)
		}
	}
	var hash *nar.HashError
	if _, err := openBytes(t, entry(func(s *said) { s.hash = strings.Repeat("0", 64) }), Options{}); !errors.As(err, &hash) || hash.Root != profile.Path(pathA).Root() {
		t.Errorf("Open with another hash: %v; want a HashError", err)
	}
}

func TestNario2Cut(t *testing.T) {
	a := fileNAR("a")
	s := sayOf(baseA, a, baseA, baseB)
	s.sigs = []string{"k:AAAA"}
	testCut(t, nario2(number(1), s.bytes(), a), 1)
}

// TestFlips: a stream with one bit changed is an error or says something else; it never says the same of other content.
func TestFlips(t *testing.T) {
	a := fileNAR("content")
	one := cat(number(1), a, trailer(pathA, pathB), number(0))
	for name, stream := range map[string][]byte{
		"first kind":  one,
		"second kind": nario2(number(1), sayOf(baseA, a, baseB).bytes(), a),
		"gzip":        compressed(t, "gzip", one),
		"zstd":        compressed(t, "zstd", one),
		"xz":          sample(t, "small.xz"),
		"bzip2":       sample(t, "small.bz2"),
	} {
		want, err := everything(t, stream, nil)
		if err != nil {
			t.Fatal(err)
		}
		step := 1
		if !strings.HasSuffix(name, "kind") {
			step = 3 // still some of every byte
		}
		for bit := 0; bit < 8*len(stream); bit += step {
			stream[bit/8] ^= 1 << (bit % 8)
			got, err := everything(t, stream, want.infos)
			stream[bit/8] ^= 1 << (bit % 8)
			if err != nil || !cmp.Equal(want.infos, got.infos) {
				continue
			}
			if !cmp.Equal(want.files, got.files) {
				t.Errorf("%s: bit %d of byte %#x changes %q to %q, and the rest stays", name, bit%8, bit/8, want.files, got.files)
			}
			if name == "first kind" {
				t.Errorf("%s: bit %d of byte %#x makes no difference", name, bit%8, bit/8)
			}
		}
	}
}

// all is all that a stream says and contains.
type all struct {
	infos []profile.Info
	files []string
}

// everything reads a stream, and its files if it says just what is known already.
func everything(t *testing.T, stream []byte, known []profile.Info) (a all, err error) {
	// A file in memory, as there are many.
	fd, err := unix.MemfdCreate("stream", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "stream")
	if _, err := f.WriteAt(stream, 0); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), f, Options{})
	if err != nil {
		f.Close()
		return a, err
	}
	defer s.Close()
	for _, p := range s.paths {
		a.infos = append(a.infos, *s.objects[p].info)
	}
	if known != nil && !cmp.Equal(known, a.infos) {
		return a, nil
	}
	for _, p := range s.paths {
		lines, err := storetest.List(s.Files(t.Context(), p))
		if err != nil {
			return a, err
		}
		a.files = append(a.files, lines...)
	}
	return a, nil
}
