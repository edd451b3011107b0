package nar

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// encode concatenates pieces of a NAR: it pads a string, encodes an int as u64, and copies bytes.
func encode(pieces ...any) []byte {
	var b []byte
	for _, p := range pieces {
		switch p := p.(type) {
		case string:
			b = binary.LittleEndian.AppendUint64(b, uint64(len(p)))
			b = append(b, p...)
			b = append(b, make([]byte, -len(p)&7)...)
		case int:
			b = binary.LittleEndian.AppendUint64(b, uint64(p))
		case []byte:
			b = append(b, p...)
		default:
			panic(fmt.Sprintf("%T", p))
		}
	}
	return b
}

// list returns a line for each entry of a tree, with contents.
func list(t rootfs.Tree) ([]string, error) {
	var lines []string
	for e, err := range t {
		if err != nil {
			return lines, err
		}
		switch {
		case e.IsDir():
			lines = append(lines, fmt.Sprintf("d %04o %q", e.Mode.Perm(), e.Path))
		case e.IsLink():
			lines = append(lines, fmt.Sprintf("l %q -> %q", e.Path, e.Target))
		default:
			r, err := e.Open()
			if err != nil {
				return lines, err
			}
			b, err := io.ReadAll(r)
			if err := errors.Join(err, r.Close()); err != nil {
				return lines, err
			}
			lines = append(lines, fmt.Sprintf("f %04o %q %d %q", e.Mode.Perm(), e.Path, e.Size, b))
		}
	}
	return lines, nil
}

func dir(entries ...any) []any {
	return append(append([]any{magic, "(", "type", "directory"}, entries...), ")")
}

func entry(name string, node ...any) []any {
	return append(append([]any{"entry", "(", "name", name, "node"}, node...), ")")
}

func file(content string) []any {
	return []any{"(", "type", "regular", "contents", content, ")"}
}

func join(lists ...[]any) []any {
	var all []any
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

type narCase struct {
	name string
	nar  []byte
	want []string
	err  string
}

func cases() []narCase {
	long := strings.Repeat("n", rootfs.MaxName)
	deep := func(n int) []byte {
		pieces := []any{magic}
		for range n {
			pieces = append(pieces, "(", "type", "directory", "entry", "(", "name", "d", "node")
		}
		pieces = append(pieces, "(", "type", "directory", ")")
		for range n {
			pieces = append(pieces, ")", ")")
		}
		return encode(pieces...)
	}
	levels := func(n int) (lines []string) {
		for i := range n + 1 {
			lines = append(lines, fmt.Sprintf("d 0555 %q", "o"+strings.Repeat("/d", i)))
		}
		return lines
	}
	return []narCase{
		{name: "empty file", nar: encode(join([]any{magic}, file(""))...), want: []string{`f 0444 "o" 0 ""`}},
		{name: "file", nar: encode(join([]any{magic}, file("hello"))...), want: []string{`f 0444 "o" 5 "hello"`}},
		{name: "executable", nar: encode(magic, "(", "type", "regular", "executable", "", "contents", "8 bytes!", ")"), want: []string{`f 0555 "o" 8 "8 bytes!"`}},
		{name: "link", nar: encode(magic, "(", "type", "symlink", "target", "/nix/x", ")"), want: []string{`l "o" -> "/nix/x"`}},
		{name: "empty directory", nar: encode(dir()...), want: []string{`d 0555 "o"`}},
		{
			name: "directory",
			nar: encode(dir(join(
				entry("a", "(", "type", "directory", ")"),
				entry("a-b", file("x")...),
				entry("b\xff\n", "(", "type", "symlink", "target", "a", ")"),
				entry(long, file("")...),
			)...)...),
			want: []string{`d 0555 "o"`, `d 0555 "o/a"`, `f 0444 "o/a-b" 1 "x"`, `l "o/b\xff\n" -> "a"`, fmt.Sprintf(`f 0444 "o/%s" 0 ""`, long)},
		},
		{name: "case hack in a name", nar: encode(dir(entry("a~nix~case~hack~1", file("")...)...)...), want: []string{`d 0555 "o"`, `f 0444 "o/a~nix~case~hack~1" 0 ""`}},

		{name: "nothing", nar: nil, err: "unexpected EOF"},
		{name: "other magic", nar: encode("nix-archive-2"), err: `found "nix-archive-2", want "nix-archive-1"`},
		{name: "long magic", nar: encode(strings.Repeat("x", 33)), err: "string of 33 bytes; at most 32"},
		{name: "huge magic", nar: encode(math.MaxInt64), err: "string of 9223372036854775807 bytes"},
		{name: "unknown type", nar: encode(magic, "(", "type", "fifo", ")"), err: `unknown node type "fifo"`},
		{name: "type is missing", nar: encode(magic, "(", ")"), err: `found ")", want "type"`},
		{name: "contents are missing", nar: encode(magic, "(", "type", "regular", ")"), err: `found ")", want "contents"`},
		{name: "executable twice", nar: encode(magic, "(", "type", "regular", "executable", "", "executable", "", "contents", "", ")"), err: `found "executable", want "contents"`},
		{name: "executable with a value", nar: encode(magic, "(", "type", "regular", "executable", "x", "contents", "", ")"), err: `found "x", want ""`},
		{name: "executable after contents", nar: encode(magic, "(", "type", "regular", "contents", "", "executable", "", ")"), err: `found "executable", want ")"`},
		{name: "contents twice", nar: encode(magic, "(", "type", "regular", "contents", "a", "contents", "b", ")"), err: `found "contents", want ")"`},
		{name: "contents too long", nar: encode(magic, "(", "type", "regular", "contents", math.MaxInt64), err: "file of 9223372036854775807 bytes"},
		{name: "contents longer than the NAR", nar: encode(magic, "(", "type", "regular", "contents", 1<<40, "x"), err: "unexpected EOF"},
		{name: "nonzero padding of contents", nar: encode(magic, "(", "type", "regular", "contents", 1, []byte("x      y"), ")"), err: "padding is not zero"},
		{name: "nonzero padding of a name", nar: encode(magic, "(", "type", "directory", "entry", "(", "name", 1, []byte("x\x00\x00\x00\x00\x00\x00y")), err: "padding is not zero"},
		{name: "link without target", nar: encode(magic, "(", "type", "symlink", ")"), err: `found ")", want "target"`},
		{name: "empty target", nar: encode(magic, "(", "type", "symlink", "target", "", ")"), err: "empty link target"},
		{name: "NUL in a target", nar: encode(magic, "(", "type", "symlink", "target", "a\x00b", ")"), err: "link target contains NUL"},
		{name: "long target", nar: encode(magic, "(", "type", "symlink", "target", strings.Repeat("t", rootfs.MaxTarget+1), ")"), err: "string of 4096 bytes; at most 4095"},
		{name: "empty name", nar: encode(dir(entry("", file("")...)...)...), err: `name "": not allowed`},
		{name: "dot", nar: encode(dir(entry(".", file("")...)...)...), err: `name ".": not allowed`},
		{name: "dot dot", nar: encode(dir(entry("..", file("")...)...)...), err: `name "..": not allowed`},
		{name: "slash", nar: encode(dir(entry("a/b", file("")...)...)...), err: "contains a slash or NUL"},
		{name: "NUL in a name", nar: encode(dir(entry("a\x00", file("")...)...)...), err: "contains a slash or NUL"},
		{name: "long name", nar: encode(dir(entry(long+"n", file("")...)...)...), err: "string of 256 bytes; at most 255"},
		{name: "out of order", nar: encode(dir(join(entry("b", file("")...), entry("a", file("")...))...)...), err: `name "a" after "b" is out of order`},
		{name: "link and directory of the same name", nar: encode(dir(join(entry("a", "(", "type", "symlink", "target", "/tmp", ")"), entry("a", "(", "type", "directory", ")"))...)...), err: `name "a" after "a"`},
		{name: "parenthesis as a name", nar: encode(dir(entry(")", file("")...)...)...), want: []string{`d 0555 "o"`, `f 0444 "o/)" 0 ""`}},
		{name: "unknown word in a directory", nar: encode(dir("entrie")...), err: `found "entrie", want an entry`},
		{name: "entry without node", nar: encode(dir("entry", "(", "name", "a", ")")...), err: `found ")", want "node"`},
		{name: "64 levels, as many as Nix allows since 2.34.7", nar: deep(63), want: levels(63)},
		{name: "65 levels", nar: deep(64), want: levels(64)},
		{name: "deepest", nar: deep(rootfs.MaxDepth), want: levels(rootfs.MaxDepth)},
		{name: "too deep", nar: deep(rootfs.MaxDepth + 1), err: "deeper than 1024"},
	}
}

func TestRead(t *testing.T) {
	for _, test := range cases() {
		t.Run(test.name, func(t *testing.T) {
			behind := []byte("the rest of the input")
			for kind, src := range map[string]io.Reader{
				"seeker": bytes.NewReader(append(bytes.Clone(test.nar), behind...)),
				"stream": iotest.HalfReader(io.MultiReader(bytes.NewReader(test.nar), bytes.NewReader(behind))),
			} {
				if test.err == "unexpected EOF" {
					src = bytes.NewReader(test.nar)
				}
				w := NewWire(src)
				got, err := list(Read(w, "o"))
				if test.err != "" {
					if err == nil || !strings.Contains(err.Error(), test.err) {
						t.Errorf("Read(%s) = %q, %v; want an error with %q", kind, got, err, test.err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("Read(%s) = %v", kind, err)
				}
				if d := cmp.Diff(test.want, got); d != "" {
					t.Errorf("Read(%s) (-want +got):\n%s", kind, d)
				}
				if w.Offset() != int64(len(test.nar)) {
					t.Errorf("Read(%s) consumed %d bytes; want %d", kind, w.Offset(), len(test.nar))
				}
				if rest, err := io.ReadAll(w); err != nil || string(rest) != string(behind) {
					t.Errorf("rest of the input after Read(%s) = %q, %v; want %q", kind, rest, err, behind)
				}
			}
		})
	}
}

// TestReadCut checks that a NAR cut at any byte leads to io.ErrUnexpectedEOF, whether contents are read or skipped.
func TestReadCut(t *testing.T) {
	for _, test := range cases() {
		if test.err != "" || len(test.nar) > 4096 {
			continue
		}
		for n := range test.nar {
			if _, err := list(Read(NewWire(bytes.NewReader(test.nar[:n])), "o")); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("Read of %d of %d bytes of %s: %v; want %v", n, len(test.nar), test.name, err, io.ErrUnexpectedEOF)
			}
			var skipped error
			for _, err := range Read(NewWire(bytes.NewReader(test.nar[:n])), "o") {
				skipped = err
			}
			if !errors.Is(skipped, io.ErrUnexpectedEOF) {
				t.Errorf("Read without contents of %d of %d bytes of %s: %v; want %v", n, len(test.nar), test.name, skipped, io.ErrUnexpectedEOF)
			}
		}
	}
}

// TestReadLarge reads and skips files larger than the buffer, with and without seeking, and with a hash.
func TestReadLarge(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 5*bufferSize/16) + "tail"
	data := encode(dir(join(entry("a", file(content)...), entry("b", file("x")...))...)...)
	want, err := list(Read(NewWire(bytes.NewReader(data)), "o"))
	if err != nil || len(want) != 3 || want[1] != fmt.Sprintf("f 0444 %q %d %q", "o/a", len(content), content) {
		t.Fatalf("Read of a large file: %d entries, %v", len(want), err)
	}
	for kind, src := range map[string]io.Reader{"seek": bytes.NewReader(data), "read": iotest.DataErrReader(bytes.NewBuffer(data))} {
		for _, tee := range []bool{false, true} {
			w := NewWire(src)
			h := sha256.New()
			if tee {
				w.Tee = h
			}
			last := ""
			for e, err := range Read(w, "o") {
				if err != nil {
					t.Fatal(err)
				}
				if last = e.Path; last == "o/b" {
					r, _ := e.Open()
					if b, err := io.ReadAll(r); err != nil || string(b) != "x" {
						t.Errorf("%s: content after a skipped file = %q, %v; want %q", kind, b, err, "x")
					}
				}
			}
			if last != "o/b" || w.Offset() != int64(len(data)) {
				t.Errorf("%s: ended at %q and byte %d; want o/b and %d", kind, last, w.Offset(), len(data))
			}
			if tee && profile.Hash(h.Sum(nil)) != sha256.Sum256(data) {
				t.Errorf("%s: Tee got other bytes", kind)
			}
			if kind == "seek" {
				_, _ = src.(io.Seeker).Seek(0, io.SeekStart)
			} else {
				src = iotest.DataErrReader(bytes.NewBuffer(data))
			}
		}
	}
}

// TestContentOnce checks that a file can be opened only once, and read only until the next entry.
func TestContentOnce(t *testing.T) {
	data := encode(dir(join(entry("a", file("abc")...), entry("b", file("")...))...)...)
	var late io.ReadCloser
	var again func() (io.ReadCloser, error)
	for e, err := range Read(NewWire(bytes.NewReader(data)), "o") {
		if err != nil {
			t.Fatal(err)
		}
		if late != nil {
			if n, err := late.Read(make([]byte, 3)); n != 0 || !errors.Is(err, fs.ErrClosed) {
				t.Errorf("Read after the next entry = %d, %v; want 0, %v", n, err, fs.ErrClosed)
			}
			if _, err := again(); err == nil {
				t.Error("Open after the next entry: want an error")
			}
			return
		}
		if e.IsRegular() {
			again = e.Open
			late, _ = e.Open()
			if _, err := e.Open(); err == nil {
				t.Error("Open twice: want an error")
			}
		}
	}
}

func TestWrite(t *testing.T) {
	for _, test := range cases() {
		if test.err != "" {
			continue
		}
		var b bytes.Buffer
		if err := Write(&b, Read(NewWire(bytes.NewReader(test.nar)), "o"), "o"); err != nil || !bytes.Equal(b.Bytes(), test.nar) {
			t.Errorf("Write(Read(%s)) = %q, %v; want %q", test.name, b.Bytes(), err, test.nar)
		}
		hash, n, err := Sum(Read(NewWire(bytes.NewReader(test.nar)), "o"), "o")
		if want := profile.Hash(sha256.Sum256(test.nar)); hash != want || n != int64(len(test.nar)) || err != nil {
			t.Errorf("Sum(%s) = %v, %d, %v; want %v, %d, <nil>", test.name, hash, n, err, want, len(test.nar))
		}
	}
}

func TestVerify(t *testing.T) {
	for _, test := range cases() {
		if test.err != "" {
			continue
		}
		hash := profile.Hash(sha256.Sum256(test.nar))
		read := func() rootfs.Tree { return Read(NewWire(bytes.NewReader(test.nar)), "o") }
		if got, err := list(Verify(read(), "o", hash, int64(len(test.nar)))); err != nil || !cmp.Equal(got, test.want) {
			t.Errorf("Verify(%s) = %q, %v; want %q, <nil>", test.name, got, err, test.want)
		}
		var wrong *HashError
		if _, err := list(Verify(read(), "o", profile.Hash{1}, int64(len(test.nar)))); !errors.As(err, &wrong) || wrong.Got != hash {
			t.Errorf("Verify(%s) with another hash: %v; want a HashError with %v", test.name, err, hash)
		}
		var size *SizeError
		if _, err := list(Verify(read(), "o", hash, 7)); !errors.As(err, &size) || size.Got != int64(len(test.nar)) {
			t.Errorf("Verify(%s) with another size: %v; want a SizeError with %d", test.name, err, len(test.nar))
		}
		// Without reading contents, only trees without content are checked.
		unread := strings.Contains(strings.Join(test.want, "\n"), `" 1 "`) || strings.HasPrefix(test.want[0], `f`) && test.name != "empty file"
		var err error
		for _, err = range Verify(read(), "o", profile.Hash{1}, int64(len(test.nar))) {
		}
		if (err == nil) != unread {
			t.Errorf("Verify(%s) without reading contents: %v; want a verdict: %v", test.name, err, !unread)
		}
	}
	// A file that is read in part is not checked either.
	data := encode(join([]any{magic}, file("hello"))...)
	for e, err := range Verify(Read(NewWire(bytes.NewReader(data)), "o"), "o", profile.Hash{1}, 5) {
		if err != nil {
			t.Fatalf("Verify of a file read in part: %v; want no verdict", err)
		}
		r, err := e.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(make([]byte, 2)); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzRead checks that Write reproduces every NAR that Read accepts.
func FuzzRead(f *testing.F) {
	for _, test := range cases() {
		f.Add(test.nar)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := NewWire(bytes.NewReader(data))
		var b bytes.Buffer
		if err := Write(&b, Read(w, "o"), "o"); err != nil {
			return
		}
		if got := b.Bytes(); !bytes.Equal(got, data[:w.Offset()]) {
			t.Errorf("Write(Read(%q)) = %q; want %q", data, got, data[:w.Offset()])
		}
	})
}

func BenchmarkRead(b *testing.B) {
	var entries []any
	for i := range 10000 {
		entries = append(entries, entry(fmt.Sprintf("f%05d", i), file(strings.Repeat("x", 10000))...)...)
	}
	data := encode(dir(entries...)...)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	buf := make([]byte, 64<<10)
	for b.Loop() {
		for e, err := range Read(NewWire(bytes.NewReader(data)), "o") {
			if err != nil {
				b.Fatal(err)
			}
			if e.IsRegular() {
				r, err := e.Open()
				if err != nil {
					b.Fatal(err)
				}
				for err == nil {
					_, err = r.Read(buf)
				}
			}
		}
	}
}
