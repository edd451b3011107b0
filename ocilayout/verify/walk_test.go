package verify

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// listing stands in for a NAR hash: it returns the paths of a tree, so that tests see which entries the walker yields.
func listing(t rootfs.Tree, root string) (string, int64, error) {
	var b strings.Builder
	size := int64(0)
	for e, err := range rootfs.Check(root, t) {
		if err != nil {
			return "", 0, err
		}
		b.WriteString(e.Path + " ")
		if !e.IsRegular() {
			continue
		}
		r, err := e.Open()
		if err != nil {
			return "", 0, err
		}
		n, err := io.Copy(io.Discard, r)
		if err == nil && n != e.Size {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return "", 0, err
		}
		size += n
	}
	return b.String(), size, nil
}

func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.ModTime.IsZero() {
			h.ModTime = rootfs.ModTime
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func dir(name string, mode int64) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: mode}
}

func reg(name string, size int64) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o444, Size: size}
}

// walkTar walks a tar and returns its problems.
func walkTar(tarball []byte, claim *history.Claim) (*layer, []string) {
	return walkTarWith(tarball, claim, listing)
}

// walkTarWith is walkTar with another hash of store objects.
func walkTarWith(tarball []byte, claim *history.Claim, hash func(rootfs.Tree, string) (string, int64, error)) (*layer, []string) {
	l := &layer{claim: claim, found: findings{limit: 100}}
	newWalker(l, bufio.NewReader(bytes.NewReader(tarball)), map[string]bool{"o": true}, Options{Hash: hash}).walk()
	var lines []string
	for _, p := range l.found.list {
		lines = append(lines, p.String())
	}
	return l, lines
}

// TestWalkNext checks that a broken object does not hide the problems of later ones.
func TestWalkNext(t *testing.T) {
	tarball := tarOf(t, dir("nix/", 0o755), dir("nix/store/", 0o755),
		reg("nix/store/.wh.gone", 0),
		dir("nix/store/a/", 0o555), tar.Header{Name: "nix/store/a/fifo", Typeflag: tar.TypeFifo}, reg("nix/store/a/z", 3),
		reg("nix/store/b", 700), dir("nix/store/c/", 0o555), reg("nix/store/c/f", 5), reg("nix/store/d", 1))
	_, got := walkTar(tarball, &history.Claim{
		Objects: []history.Object{{Name: "a", Size: 3}, {Name: "b", Size: 700}, {Name: "c", Hash: "nix/store/c ", Size: 6}, {Name: "d", Hash: "x", Size: 1}},
		Hidden:  []string{"gone"},
	})
	want := []string{
		`"nix/store/a/fifo": is neither a directory, a regular file nor a symbolic link: type '6'`,
		`"nix/store/c": its NAR has 5 bytes, but the history says 6`,
		`"nix/store/d": its NAR hash begins with n, but the history says x: it was changed`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("problems (-want +got):\n%s", d)
	}
}

// TestWalkWithoutHash checks that a walker without a hash compares no contents, but still compares names.
func TestWalkWithoutHash(t *testing.T) {
	l := &layer{claim: &history.Claim{Objects: []history.Object{{Name: "a", Size: 9}}}, found: findings{limit: 100}}
	tarball := tarOf(t, dir("nix/", 0o755), dir("nix/store/", 0o755), dir("nix/store/a/", 0o555), dir("nix/store/a/d/", 0o555), dir("nix/store/b/", 0o555))
	newWalker(l, bufio.NewReader(bytes.NewReader(tarball)), nil, Options{}).walk()
	if len(l.found.list) != 1 || l.found.list[0].Path != "nix/store/b" {
		t.Errorf("problems %v; want one of nix/store/b", l.found.list)
	}
}

// TestWalkForeign checks that a walker records how another program's layer changes claimed objects, and only those.
func TestWalkForeign(t *testing.T) {
	for _, test := range []struct {
		name            string
		headers         []tar.Header
		wiped           bool
		hidden, written []string
	}{
		{"outside claimed objects", []tar.Header{reg("nix/store/p/f", 0), reg("./o", 0), reg("nix/o", 0), reg("nix/.wh.o", 0)}, false, nil, nil},
		{"writes into an object", []tar.Header{reg("nix/store/o/f", 0)}, false, nil, []string{"o"}},
		{"replaces an object", []tar.Header{reg("./nix/store/o", 0)}, false, nil, []string{"o"}},
		{"hides an object", []tar.Header{reg("nix/store/.wh.o", 0)}, false, []string{"o"}, nil},
		{"hides the contents of an object", []tar.Header{reg("nix/store/o/.wh..wh..opq", 0)}, false, []string{"o"}, nil},
		{"hides the store", []tar.Header{reg(".wh.nix", 0)}, true, nil, nil},
		{"hides the root", []tar.Header{reg(".wh..wh..opq", 0)}, true, nil, nil},
		{"only parent directories", []tar.Header{dir("./", 0o755), dir("nix/", 0o755), dir("nix/store/", 0o755)}, false, nil, nil},
	} {
		l, lines := walkTar(tarOf(t, test.headers...), nil)
		if lines != nil {
			t.Errorf("%s: problems %q; want none", test.name, lines)
		}
		s := l.store
		if d := cmp.Diff([]any{test.wiped, test.hidden, test.written}, []any{s.wiped, sortedOrNil(s.hidden), sortedOrNil(s.written)}); d != "" {
			t.Errorf("%s: store changes (-want +got):\n%s", test.name, d)
		}
	}
}

// TestWalkAbsolute checks that absolute names are reported, and that they affect other entries as relative names do.
func TestWalkAbsolute(t *testing.T) {
	l, got := walkTar(tarOf(t, dir("/", 0o755), dir("/nix/", 0o755), dir("nix/store/", 0o755), reg("//nix/store/o", 1), reg("/nix/store/.wh.o", 0),
		reg("nix/store/o", 1), tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "/nix/store/o"}), nil)
	want := []string{
		`"/nix/": is an absolute path`,
		`"//nix/store/o": is an absolute path`,
		`"/nix/store/.wh.o": is an absolute path`,
		`"nix/store/o": occurs twice`,
		`"h": is a hard link to "/nix/store/o": is an absolute path`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("problems (-want +got):\n%s", d)
	}
	if !l.store.written["o"] || !l.store.hidden["o"] {
		t.Errorf("store changes = %+v; want o written and hidden", l.store)
	}
}

func sortedOrNil(m map[string]bool) []string {
	if m == nil {
		return nil
	}
	return sorted(m)
}

// TestWalkManyNames checks that names beyond maxNames are not remembered.
func TestWalkManyNames(t *testing.T) {
	f := &foreignRules{layer: &layer{found: findings{limit: 100}}, bytes: maxNames - 1}
	for range 3 {
		f.entry(&tar.Header{Name: "a/b/c", Typeflag: tar.TypeReg})
	}
	if !f.full || f.seen != nil || f.layer.found.count != 1 {
		t.Errorf("full = %v with %d names and problems %v; want it full, with one problem", f.full, len(f.seen), f.layer.found.list)
	}
}

// FuzzWalk checks that walking any input ends, that problems have no control characters,
// and that a tar without problems has only the claimed entries.
func FuzzWalk(f *testing.F) {
	ours := tarOf(f, dir("nix/", 0o755), dir("nix/store/", 0o755), reg("nix/store/.wh.h", 0), dir("nix/store/o/", 0o555), reg("nix/store/o/f", 3))
	f.Add(ours)
	f.Add(ours[:len(ours)-700])
	f.Add(tarOf(f, reg("../x", 0), reg("nix/store/o", 3), reg("nix/store/.wh..wh..opq", 0)))
	f.Add(tarOf(f, tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: "/x"}, tar.Header{Name: strings.Repeat("é", 120), Typeflag: tar.TypeSymlink, Linkname: "t"}))
	f.Fuzz(func(t *testing.T, tarball []byte) {
		claim := &history.Claim{Objects: []history.Object{{Name: "o", Size: 3}}, Hidden: []string{"h"}}
		own, found := walkTar(tarball, claim)
		for _, line := range found {
			if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' }) {
				t.Errorf("a problem has a control character: %q", line)
			}
		}
		_, foreign := walkTar(tarball, nil)
		if own.found.count == 0 {
			// A tar that satisfies our rules satisfies those of other programs.
			if len(foreign) > 0 {
				t.Errorf("no problems as a layer of ours, but as another program's: %q", foreign)
			}
			r := tar.NewReader(bytes.NewReader(tarball))
			for {
				h, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("no problems, but archive/tar says: %v", err)
				}
				if name := strings.TrimSuffix(h.Name, "/"); name != "nix" && name != "nix/store" && name != "nix/store/.wh.h" && !rootfs.Within("nix/store/o", name) {
					t.Errorf("no problems, but the tar has %q", h.Name)
				}
			}
		}
	})
}
