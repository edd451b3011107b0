package exportstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/profile/storetest"
)

func golden(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(storetest.File(t, "basic.nix-export"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// openBytes opens a stream from a file.
func openBytes(t testing.TB, stream []byte, o Options) (*Store, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "stream")
	if err := os.WriteFile(name, stream, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), f, o)
	if err != nil {
		f.Close()
		return nil, err
	}
	t.Cleanup(func() { s.Close() })
	return s, nil
}

// openPipe opens a stream from a pipe.
func openPipe(t testing.TB, stream []byte, o Options) (*Store, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer w.Close()
		_, _ = w.Write(stream) // fails if the reader closes early
	}()
	s, err := Open(t.Context(), r, o)
	if err != nil {
		r.Close()
		return nil, err
	}
	t.Cleanup(func() { s.Close() })
	return s, nil
}

// TestGolden checks the golden closure in a file, from a pipe, and from the middle of a file.
func TestGolden(t *testing.T) {
	t.Run("file", func(t *testing.T) {
		var read atomic.Int64
		s, err := openBytes(t, golden(t), Options{Progress: func(n int64) { read.Add(n) }})
		if err != nil {
			t.Fatal(err)
		}
		if got := read.Load(); got != int64(len(golden(t))) {
			t.Errorf("Progress reported %d bytes; want %d", got, len(golden(t)))
		}
		storetest.Golden(t, s)
	})
	t.Run("pipe", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "made/when/needed")
		s, err := openPipe(t, golden(t), Options{SpoolDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("while a piped stream is open, the spool directory contains %v, %v; want no named file", left, err)
		}
		storetest.Golden(t, s)
	})
	t.Run("from the middle of a file", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "stream")
		if err := os.WriteFile(name, append([]byte("before"), golden(t)...), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Seek(6, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), f, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		storetest.Golden(t, s)
	})
	t.Run("deriver", func(t *testing.T) {
		s, err := openBytes(t, golden(t), Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range storetest.GoldenInfos(t) {
			got, err := s.Info(t.Context(), want.Path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got, cmpopts.IgnoreFields(profile.Info{}, "Signatures", "CA"), cmpopts.EquateEmpty()); d != "" {
				t.Errorf("Info(%q) (-want +got):\n%s", want.Path, d)
			}
		}
	})
}

// TestSamples checks all samples of package storetest.
func TestSamples(t *testing.T) {
	for _, sample := range storetest.Samples(t) {
		t.Run(sample.Name, func(t *testing.T) {
			f, err := os.Open(sample.WriteExport(t))
			if err != nil {
				t.Fatal(err)
			}
			s, err := Open(t.Context(), f, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			storetest.Test(t, s, sample)
		})
	}
}

// TestCut checks that a stream cut at any byte is an error, and never a smaller store.
func TestCut(t *testing.T) {
	small := cat(number(1), fileNAR("a"), trailer(pathA), number(1), fileNAR("b"), trailer(pathB, pathA, pathB), number(0))
	testEveryCut(t, small, 1)
	testEveryCut(t, golden(t), 61)
}

func testEveryCut(t *testing.T, stream []byte, step int) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(stream); err != nil {
		t.Fatal(err)
	}
	for n := len(stream) - 1; n >= 0; n -= step {
		if err := f.Truncate(int64(n)); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), f, Options{})
		var format *FormatError
		if n == 0 && !errors.As(err, &format) || n > 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("Open of %d of %d bytes: %v; want %v", n, len(stream), err, io.ErrUnexpectedEOF)
		}
	}
}

const (
	pathA = "/nix/store/00000000000000000000000000000000-a"
	pathB = "/nix/store/11111111111111111111111111111111-b"
)

func number(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

func str(s string) []byte {
	return append(append(number(uint64(len(s))), s...), make([]byte, -len(s)&7)...)
}

func cat(pieces ...[]byte) []byte { return bytes.Join(pieces, nil) }

func fileNAR(content string) []byte {
	return cat(str("nix-archive-1"), str("("), str("type"), str("regular"), str("contents"), str(content), str(")"))
}

func trailer(path string, refs ...string) []byte {
	b := cat(number(trailerMagic), str(path), number(uint64(len(refs))))
	for _, r := range refs {
		b = append(b, str(r)...)
	}
	return cat(b, str(""), number(0))
}

type streamCase struct {
	name   string
	stream []byte
	paths  []profile.Path
	more   bool   // other data follow the stream
	err    string // substring of the error
	format bool   // want a FormatError
}

func streams() []streamCase {
	a := cat(number(1), fileNAR("a"), trailer(pathA))
	b := cat(number(1), fileNAR("b"), trailer(pathB, pathA, pathB))
	end := number(0)
	tar := make([]byte, 1024)
	copy(tar[257:], "ustar")
	return []streamCase{
		{name: "nothing exported", stream: end},
		{name: "one", stream: cat(a, end), paths: []profile.Path{pathA}},
		{name: "two", stream: cat(b, a, end), paths: []profile.Path{pathA, pathB}},
		{name: "the same twice", stream: cat(a, a, end), paths: []profile.Path{pathA}},
		{name: "signed by Nix 1", stream: cat(number(1), fileNAR("a"), number(trailerMagic), str(pathA), number(0), str(""), number(1), str("signature"), end), paths: []profile.Path{pathA}},
		{name: "deriver", stream: cat(number(1), fileNAR("a"), number(trailerMagic), str(pathA), number(0), str(pathB+".drv"), number(0), end), paths: []profile.Path{pathA}},

		{name: "one path, two contents", stream: cat(a, number(1), fileNAR("b"), trailer(pathA), end), err: "occurs twice with different content"},
		{name: "one path, other references", stream: cat(a, number(1), fileNAR("a"), trailer(pathA, pathB), end), err: "occurs twice with different content"},
		{name: "no end", stream: a, err: "unexpected EOF"},
		{name: "concatenated", stream: cat(a, end, b, end), err: "another export stream begins here"},
		{name: "concatenated with nothing", stream: cat(a, end, end), paths: []profile.Path{pathA}, more: true},
		{name: "concatenated with nothing and another", stream: cat(a, end, end, b, end), err: "another export stream begins here"},
		{name: "concatenated with the beginning of another", stream: cat(a, end, b[:11]), err: "another export stream begins here"},
		{name: "an object after the end", stream: cat(a, end, b[8:], end), err: "an object follows the end"},
		{name: "trailing byte", stream: cat(a, end, []byte{7}), paths: []profile.Path{pathA}, more: true},
		{name: "trailing newline", stream: cat(a, end, []byte("\n")), paths: []profile.Path{pathA}, more: true},
		{name: "trailing zeros", stream: cat(a, end, make([]byte, 1<<20+3)), paths: []profile.Path{pathA}, more: true},
		{name: "trailing rest of an older stream", stream: cat(a, end, b[9:], end), paths: []profile.Path{pathA}, more: true},
		{name: "other number", stream: cat(a, number(2)), err: "number 2 instead of 1"},
		{name: "trailer without its magic", stream: cat(number(1), fileNAR("a"), number(7)), err: "number 0x7 instead of 0x4558494e"},
		{name: "no store path", stream: cat(number(1), fileNAR("a"), trailer("/etc/passwd"), end), err: `"/etc/passwd": does not begin with a hash`},
		{name: "two store directories", stream: cat(a, number(1), fileNAR("a"), trailer(strings.Replace(pathA, "nix", "gnu", 1)), end), err: "in another store directory than /nix/store"},
		{name: "a reference in another store directory", stream: cat(number(1), fileNAR("a"), trailer(strings.Replace(pathA, "nix", "gnu", 1), pathB), end), err: "in another store directory than /gnu/store"},
		{name: "reference is no store path", stream: cat(number(1), fileNAR("a"), trailer(pathA, "/nix/store/x"), end), err: `references of "` + pathA + `"`},
		{name: "more references than bytes", stream: cat(number(1), fileNAR("a"), number(trailerMagic), str(pathA), number(1<<62)), err: "unexpected EOF"},
		{name: "deriver is no store path", stream: cat(number(1), fileNAR("a"), number(trailerMagic), str(pathA), number(0), str("x"), number(0), end), err: "deriver of"},
		{name: "signed in a new way", stream: cat(number(1), fileNAR("a"), number(trailerMagic), str(pathA), number(0), str(""), number(2), end), err: "number 2 instead of 1 or 0 (whether"},
		{name: "long path", stream: cat(number(1), fileNAR("a"), number(trailerMagic), number(1<<40)), err: "string of 1099511627776 bytes"},
		{name: "bad NAR", stream: cat(number(1), str("nix-archive-1"), str("("), str("type"), str("fifo")), err: `unknown node type "fifo"`},

		{name: "empty", stream: nil, err: "but empty", format: true},
		{name: "bare NAR", stream: fileNAR("a"), err: "a bare NAR", format: true},
		{name: "gzip that ends too early", stream: []byte("\x1f\x8b\x08\x00"), err: "unexpected EOF"},
		{name: "lzip of another version", stream: []byte("LZIP\x00\x0c"), err: "version 0 of the format: unsupported"},
		{name: "lzma", stream: []byte("\x5d\x00\x00\x80\x00"), err: "compressed with lzma", format: true},
		{name: "compress", stream: []byte("\x1f\x9d\x90"), err: "compressed with compress", format: true},
		{name: "legacy lz4", stream: []byte("\x02\x21\x4c\x18\x01\x00\x00\x00x"), err: "legacy frame: unsupported"},
		{name: "old zstd", stream: []byte("\x27\xb5\x2f\xfd\x01\x00\x00\x00x"), err: "frame of zstd before 0.8: unsupported"},
		{name: "nario 3", stream: []byte("NARIO3\x00\x00"), err: "a nario stream of another version", format: true},
		{name: "tar", stream: tar, err: "a tar archive", format: true},
		{name: "text", stream: []byte("hello, world"), err: "something unknown", format: true},
		{name: "store paths", stream: []byte(pathA + "\n"), err: "a list of store paths", format: true},
		{name: "end and more", stream: cat(end, []byte("x")), err: "something unknown", format: true},
	}
}

// TestOpen checks good and bad streams, in a file and from a pipe.
func TestOpen(t *testing.T) {
	for _, test := range streams() {
		for kind, open := range openers {
			t.Run(test.name+"/"+kind, func(t *testing.T) {
				spools := t.TempDir()
				s, err := open(t, test.stream, Options{SpoolDir: spools})
				if left, _ := os.ReadDir(spools); len(left) > 0 {
					t.Errorf("Open left %v", left)
				}
				if test.err != "" {
					var format *FormatError
					if err == nil || !strings.Contains(err.Error(), test.err) || errors.As(err, &format) != test.format {
						t.Errorf("Open() = %v; want an error with %q, a FormatError: %v", err, test.err, test.format)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if s.Trailing() != test.more {
					t.Errorf("Trailing() = %v; want %v", s.Trailing(), test.more)
				}
				paths, err := s.Paths(t.Context())
				if d := cmp.Diff(test.paths, paths); d != "" || err != nil {
					t.Errorf("Paths(): %v (-want +got):\n%s", err, d)
				}
				for _, p := range paths {
					if lines, err := storetest.List(s.Files(t.Context(), p)); err != nil || len(lines) != 1 {
						t.Errorf("Files(%q) = %q, %v; want one file", p, lines, err)
					}
				}
			})
		}
	}
}

// TestProven checks that objects are proven only in inputs that no other process can change.
func TestProven(t *testing.T) {
	stream := cat(number(1), fileNAR("a"), trailer(pathA), number(0))
	for _, test := range []struct {
		name   string
		open   func(testing.TB, []byte, Options) (*Store, error)
		stream []byte
		want   bool
	}{
		{"file", openBytes, stream, false},
		{"compressed file", openBytes, compressed(t, "gzip", stream), true},
		{"pipe", openPipe, stream, true},
	} {
		s, err := test.open(t, test.stream, Options{SpoolDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Proven(pathA); got != test.want {
			t.Errorf("%s: Proven() = %v; want %v", test.name, got, test.want)
		}
	}
}

// TestChanged checks that a walk notices a file that changed after Read.
func TestChanged(t *testing.T) {
	name := filepath.Join(t.TempDir(), "stream")
	stream := cat(number(1), fileNAR("long enough to be changed"), trailer(pathA), number(0))
	for change, want := range map[string]string{"enough": "was changed or damaged", "regular": "changed while it was read"} {
		if err := os.WriteFile(name, stream, 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), f, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := os.WriteFile(name, bytes.Replace(stream, []byte(change), []byte(strings.ToUpper(change)), 1), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := storetest.List(s.Files(t.Context(), pathA)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Files after a change of %q: %v; want an error with %q", change, err, want)
		}
	}
}

// TestCancelWaiting checks that cancelling the context ends the wait for a silent pipe.
func TestCancelWaiting(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, r, Options{SpoolDir: t.TempDir()}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open of a silent pipe, cancelled: %v; want %v", err, context.DeadlineExceeded)
	}
}

// TestSpoolFails checks the error for an unusable spool directory.
func TestSpoolFails(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openPipe(t, golden(t), Options{SpoolDir: filepath.Join(name, "spool")}); err == nil || !strings.Contains(err.Error(), "make spool") {
		t.Errorf("Open with a spool below a file: %v; want an error", err)
	}
}

// FuzzOpen checks that the hash, size and references of every object of an accepted stream are right,
// and survive being written and read again.
func FuzzOpen(f *testing.F) {
	for _, test := range streams() {
		f.Add(test.stream)
	}
	f.Add(golden(f))
	for _, sample := range []*storetest.Sample{storetest.Tiny(f), storetest.Knot(f)} {
		b, err := os.ReadFile(sample.WriteNario2(f))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		s, err := openBytes(t, stream, Options{})
		if err != nil {
			return
		}
		paths, _ := s.Paths(t.Context())
		var again bytes.Buffer
		for _, p := range paths {
			info, err := s.Info(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			hash, size, err := nar.Sum(s.Files(t.Context(), p), p.Root())
			if hash != info.NarHash || size != info.NarSize || err != nil {
				t.Errorf("Sum(Files(%q)) = %v, %d, %v; want %v, %d", p, hash, size, err, info.NarHash, info.NarSize)
			}
			again.Write(number(1))
			if err := nar.Write(&again, s.Files(t.Context(), p), p.Root()); err != nil {
				t.Fatal(err)
			}
			var refs []string
			for _, r := range info.References {
				refs = append(refs, string(r))
			}
			again.Write(trailer(string(p), refs...))
		}
		again.Write(number(0))
		s2, err := openBytes(t, again.Bytes(), Options{})
		if err != nil {
			t.Fatalf("Open of the rewritten stream: %v", err)
		}
		for _, p := range paths {
			want, _ := s.Info(t.Context(), p)
			got, err := s2.Info(t.Context(), p)
			if err != nil || got.NarHash != want.NarHash || !cmp.Equal(got.References, want.References) {
				t.Errorf("Info(%q) of the rewritten stream = %v, %v; want %v", p, got, err, want)
			}
		}
	})
}

// TestMissing checks the error of FindClosure for a stream that lacks a reference.
func TestMissing(t *testing.T) {
	s, err := openBytes(t, cat(number(1), fileNAR("b"), trailer(pathB, pathA, pathB), number(0)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = profile.FindClosure(t.Context(), s, pathB)
	var missing *profile.ClosureError
	if !errors.As(err, &missing) || !errors.Is(err, fs.ErrNotExist) || missing.Missing[0].Path != pathA {
		t.Errorf("FindClosure of a stream without %q: %v; want a ClosureError", pathA, err)
	}
}
