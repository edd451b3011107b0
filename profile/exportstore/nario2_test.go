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

// description is the metadata before a NAR in format 2.
type description struct {
	path, deriver, hash string
	refs                []string
	size, ultimate      uint64
	sigs                []string
	ca                  string
}

func describe(path string, content []byte, refs ...string) description {
	sum := sha256.Sum256(content)
	return description{path: path, hash: hex.EncodeToString(sum[:]), refs: refs, size: uint64(len(content))}
}

func (s description) bytes() []byte {
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

// TestNario2 checks format 2, which was taken from Determinate Nix's source: no real stream was available.
func TestNario2(t *testing.T) {
	a, b := fileNAR("a"), fileNAR("b")
	full := describe(baseB, b, baseA, baseB)
	full.deriver, full.ultimate, full.sigs, full.ca = baseA+".drv", 1, []string{"k-1:AAAA", "l-1:BBBB"}, "fixed:r:sha256:0000"
	stream := nario2(number(1), describe(baseA, a).bytes(), a, number(1), full.bytes(), b)
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

// TestNario2Golden checks the golden closure in format 2.
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
		entries = append(entries, number(1), describe(info.Path.Base(), []byte(b.String()), refs...).bytes(), []byte(b.String()))
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

// TestNario2Refuses checks the errors for damaged and unsupported streams of format 2.
func TestNario2Refuses(t *testing.T) {
	a := fileNAR("a")
	ok := describe(baseA, a)
	entry := func(change func(*description)) []byte {
		s := ok
		change(&s)
		return nario2(number(1), s.bytes(), a)
	}
	for _, test := range []struct {
		name   string
		stream []byte
		err    string
	}{
		{"another hash", entry(func(s *description) { s.hash = strings.Repeat("0", 64) }), "changed or damaged"},
		{"another size", entry(func(s *description) { s.size++ }), "has 120 bytes, not 121"},
		{"no size", entry(func(s *description) { s.size = 0 }), "NAR of 0 bytes"},
		{"size of 2^63", entry(func(s *description) { s.size = 1 << 63 }), "NAR of 9223372036854775808 bytes"},
		{"hash with its name", entry(func(s *description) { s.hash = "sha256:" + s.hash }), "not a SHA-256 in hexadecimal"},
		{"hash not in hexadecimal", entry(func(s *description) { s.hash = strings.Repeat("z", 64) }), "hash"},
		{"full path", entry(func(s *description) { s.path = pathA }), "store path"},
		{"no path", entry(func(s *description) { s.path = "" }), "store path"},
		{"bad reference", entry(func(s *description) { s.refs = []string{"x"} }), "references of"},
		{"bad deriver", entry(func(s *description) { s.deriver = "x" }), "deriver"},
		{"ultimate is no bool", entry(func(s *description) { s.ultimate = 2 }), "number 2 instead of 1 or 0"},
		{"many signatures", entry(func(s *description) { s.sigs = make([]string, 1000) }), "1000 signatures"},
		{"long signature", entry(func(s *description) { s.sigs = []string{strings.Repeat("x", 5000)} }), "string of 5000 bytes"},
		{"delta", nario2(number(2), ok.bytes(), str("zstd")), `"` + pathA + `" is sent as a delta`},
		{"name alone", nario2(number(3), ok.bytes()), `"` + pathA + `" is sent only by name`},
		{"compressed", nario2(number(4), ok.bytes(), str("zstd")), `"` + pathA + `" is sent individually compressed`},
		{"unknown", nario2(number(5), ok.bytes()), "number 5 instead of 1"},
		{"first format inside", nario2(number(1), a, trailer(pathA)), "store path"},
		{"one path, two contents", nario2(number(1), ok.bytes(), a, number(1), describe(baseA, fileNAR("b")).bytes(), fileNAR("b")), "occurs twice"},
		{"two streams", cat(nario2(), nario2()), "another export stream"},
		{"followed by the first format", cat(nario2(), number(1), a), "another export stream"},
		{"after the first format", cat(number(1), a, trailer(pathA), number(0), nario2()), "another export stream"},
		{"an object after the end", cat(nario2(), ok.bytes(), a), "an object follows the end"},
	} {
		if s, err := openBytes(t, test.stream, Options{}); err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: Open() = %v, %v; want an error with %q", test.name, s, err, test.err)
		}
	}
	var hash *nar.HashError
	if _, err := openBytes(t, entry(func(s *description) { s.hash = strings.Repeat("0", 64) }), Options{}); !errors.As(err, &hash) || hash.Root != profile.Path(pathA).Root() {
		t.Errorf("Open with another hash: %v; want a HashError", err)
	}
}

// TestNario2Trailing checks that other data may follow a stream of format 2.
func TestNario2Trailing(t *testing.T) {
	a := fileNAR("a")
	stream := nario2(number(1), describe(baseA, a).bytes(), a)
	for _, trailing := range []string{"", "x", "\x00", strings.Repeat("\x00", 1000)} {
		s, err := openBytes(t, cat(stream, []byte(trailing)), Options{})
		if err != nil || s.Trailing() != (trailing != "") || len(s.paths) != 1 {
			t.Errorf("Open of a stream with %.8q after it = %v, %v; want one path, and whether data follow", trailing, s, err)
		}
	}
}

// TestNario2Cut checks that a stream of format 2 cut at any byte is an error.
func TestNario2Cut(t *testing.T) {
	a := fileNAR("a")
	s := describe(baseA, a, baseA, baseB)
	s.sigs = []string{"k:AAAA"}
	testEveryCut(t, nario2(number(1), s.bytes(), a), 1)
}

// TestFlips flips bits of streams, and checks that content never changes without an error or a change of metadata.
func TestFlips(t *testing.T) {
	a := fileNAR("content")
	one := cat(number(1), a, trailer(pathA, pathB), number(0))
	for name, stream := range map[string][]byte{
		"format 1": one,
		"format 2": nario2(number(1), describe(baseA, a, baseB).bytes(), a),
		"gzip":     compressed(t, "gzip", one),
		"zstd":     compressed(t, "zstd", one),
		"xz":       sample(t, "small.xz"),
		"bzip2":    sample(t, "small.bz2"),
		"lzip":     sample(t, "small.lz"),
	} {
		want, err := readAll(t, stream, nil)
		if err != nil {
			t.Fatal(err)
		}
		step := 1
		if !strings.HasPrefix(name, "format") {
			step = 3 // still some bits of every byte
		}
		for bit := 0; bit < 8*len(stream); bit += step {
			stream[bit/8] ^= 1 << (bit % 8)
			got, err := readAll(t, stream, want.infos)
			stream[bit/8] ^= 1 << (bit % 8)
			if err != nil || !cmp.Equal(want.infos, got.infos) {
				continue
			}
			if !cmp.Equal(want.files, got.files) {
				t.Errorf("%s: bit %d of byte %#x changes only the files, from %q to %q", name, bit%8, bit/8, want.files, got.files)
			}
			if name == "format 1" {
				t.Errorf("%s: bit %d of byte %#x has no effect", name, bit%8, bit/8)
			}
		}
	}
}

// contents holds the metadata and files of a stream.
type contents struct {
	infos []profile.Info
	files []string
}

// readAll reads the metadata of a stream, and its files if known is nil or equals the metadata.
func readAll(t *testing.T, stream []byte, known []profile.Info) (a contents, err error) {
	// A file in memory is fast enough for thousands of streams.
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
