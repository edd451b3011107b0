package input

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(b)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func file(t testing.TB, b []byte) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func pipeOf(t testing.TB, b []byte) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer w.Close()
		_, _ = w.Write(b) // fails once the reader closes
	}()
	t.Cleanup(func() { r.Close() })
	return r
}

// form is a kind of input.
type form struct {
	name    string
	f       *os.File
	gzip    bool
	private bool
}

func forms(t testing.TB, b []byte) []form {
	t.Helper()
	middle := file(t, append([]byte("before"), b...))
	if _, err := middle.Seek(6, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return []form{
		{name: "file", f: file(t, b)},
		{name: "from the middle of a file", f: middle},
		{name: "compressed file", f: file(t, gzipped(t, b)), gzip: true, private: true},
		{name: "pipe", f: pipeOf(t, b), private: true},
		{name: "compressed pipe", f: pipeOf(t, gzipped(t, b)), gzip: true, private: true},
	}
}

// numbers returns bytes without repetitions.
func numbers(n int) []byte {
	b := make([]byte, 0, n+4)
	for i := 0; len(b) < n; i++ {
		b = append(b, byte(i), byte(i>>8), byte(i>>16), byte(i>>16^i))
	}
	return b[:n]
}

func TestInput(t *testing.T) {
	b := numbers(300_001)
	for _, form := range forms(t, b) {
		t.Run(form.name, func(t *testing.T) {
			spools := t.TempDir()
			in, err := Open(t.Context(), form.f, Options{SpoolDir: spools})
			if err != nil {
				t.Fatal(err)
			}
			if in.Name() != form.f.Name() || (in.Compression() == "gzip") != form.gzip || in.Private() != form.private {
				t.Errorf("Name() = %q, Compression() = %q, Private() = %v", in.Name(), in.Compression(), in.Private())
			}
			got := make([]byte, len(b))
			if head, err := in.Peek(512); !bytes.Equal(head, b[:512]) || err != nil {
				t.Errorf("Peek(512) = %x, %v", head, err)
			}
			at := 0
			read := func(n int) {
				t.Helper()
				if _, err := io.ReadFull(in, got[at:at+n]); err != nil || !bytes.Equal(got[at:at+n], b[at:at+n]) {
					t.Fatalf("Read of %d bytes at %d: %v, or the wrong ones", n, at, err)
				}
				at += n
			}
			skip := func(n int) {
				t.Helper()
				if err := in.Skip(int64(n)); err != nil {
					t.Fatal(err)
				}
				at += n
			}
			read(700)
			skip(100)
			read(1)
			skip(bufferSize * 3)
			read(50_000)
			skip(0)
			skip(bufferSize)
			read(len(b) - at)
			if n, err := in.Read(got); n != 0 || err != io.EOF {
				t.Errorf("Read at the end = %d, %v; want 0, %v", n, err, io.EOF)
			}
			if rest, err := in.Peek(10); len(rest) != 0 || err != nil {
				t.Errorf("Peek at the end = %x, %v; want nothing", rest, err)
			}
			in.Finish()
			for _, off := range []int64{0, 701, 100_000, int64(len(b)) - 10} {
				p := make([]byte, 10)
				if n, err := in.ReadAt(p, off); n != 10 || err != nil && err != io.EOF || !bytes.Equal(p, b[off:off+10]) {
					t.Errorf("ReadAt(%d) = %x, %v; want %x", off, p[:n], err, b[off:off+10])
				}
			}
			if left, err := os.ReadDir(spools); err != nil || len(left) > 0 {
				t.Errorf("the spool directory has %v, %v; want no names", left, err)
			}
			if err := in.Close(); err != nil {
				t.Error(err)
			}
			if _, err := form.f.Read(got); !errors.Is(err, os.ErrClosed) {
				t.Errorf("Read of the file after Close: %v; want %v", err, os.ErrClosed)
			}
		})
	}
}

// TestProgress checks that Progress counts every byte of the file once, whether read or skipped.
func TestProgress(t *testing.T) {
	b := numbers(300_000)
	for _, form := range forms(t, b) {
		var sum int64
		in, err := Open(t.Context(), form.f, Options{SpoolDir: t.TempDir(), Progress: func(n int64) { sum += n }})
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Skip(250_000); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, in); err != nil {
			t.Fatal(err)
		}
		want := int64(len(b))
		if form.gzip {
			want = int64(len(gzipped(t, b)))
		}
		if sum != want {
			t.Errorf("%s: Progress reported %d bytes; want %d", form.name, sum, want)
		}
	}
}

// TestSkipTooFar checks that Read reports the end after a skip beyond it.
func TestSkipTooFar(t *testing.T) {
	for _, form := range forms(t, []byte("content")) {
		var sum int64
		in, err := Open(t.Context(), form.f, Options{SpoolDir: t.TempDir(), Progress: func(n int64) { sum += n }})
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Skip(1 << 40); err != nil {
			t.Errorf("%s: Skip(2^40) = %v", form.name, err)
		}
		if n, err := in.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%s: Read beyond the end = %d, %v; want 0, %v", form.name, n, err, io.EOF)
		}
		if err := in.Skip(math.MaxInt64); err != nil && !strings.Contains(err.Error(), "no file is that large") {
			t.Errorf("%s: Skip(2^63-1) = %v", form.name, err)
		}
		if sum > 100 {
			t.Errorf("%s: Progress reported %d bytes of a small file", form.name, sum)
		}
	}
}

// TestForget checks that Read works after Forget, and that ReadAt finds no copy.
func TestForget(t *testing.T) {
	b := numbers(200_000)
	in, err := Open(t.Context(), pipeOf(t, b), Options{SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := io.ReadFull(in, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	in.Forget()
	if rest, err := io.ReadAll(in); !bytes.Equal(rest, b[10:]) || err != nil {
		t.Errorf("Read after Forget: %d bytes, %v; want %d", len(rest), err, len(b)-10)
	}
	if n, err := in.ReadAt(make([]byte, 10), 150_000); n != 0 || err != io.EOF {
		t.Errorf("ReadAt after Forget = %d, %v; want 0, %v", n, err, io.EOF)
	}
}

// TestAbandon checks that the file stays open after Abandon.
func TestAbandon(t *testing.T) {
	for _, form := range forms(t, []byte("content")) {
		in, err := Open(t.Context(), form.f, Options{SpoolDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		in.Abandon()
		if _, err := form.f.Stat(); err != nil {
			t.Errorf("%s: the file after Abandon: %v", form.name, err)
		}
	}
}

func TestErrors(t *testing.T) {
	whole := gzipped(t, numbers(10_000))
	for name, f := range map[string]*os.File{
		"header": file(t, whole[:5]), "content": file(t, whole[:len(whole)/2]), "checksum": pipeOf(t, whole[:len(whole)-3]),
	} {
		in, err := Open(t.Context(), f, Options{SpoolDir: t.TempDir()})
		if err == nil {
			_, err = io.Copy(io.Discard, in)
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut in its %s: %v; want %v", name, err, io.ErrUnexpectedEOF)
		}
	}
	below := filepath.Join(file(t, nil).Name(), "x")
	if _, err := Open(t.Context(), pipeOf(t, nil), Options{SpoolDir: below}); err == nil || !strings.Contains(err.Error(), "make spool") {
		t.Errorf("Open with a spool below a file: %v; want an error", err)
	}
	// A directory can be opened, but not read.
	d, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := Open(t.Context(), d, Options{SpoolDir: t.TempDir()}); err == nil {
		t.Error("Open of a directory succeeded")
	}
}

func TestCancel(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	// Nothing is ever written into the pipe.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, r, Options{SpoolDir: t.TempDir()}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open of a silent pipe, cancelled: %v; want %v", err, context.DeadlineExceeded)
	}
	random := make([]byte, 200_000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(random) // gzip cannot shrink them
	for _, form := range forms(t, random) {
		ctx, cancel := context.WithCancel(t.Context())
		in, err := Open(ctx, form.f, Options{SpoolDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		// Read may still return what is in memory.
		if _, err := io.Copy(io.Discard, in); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: Read, cancelled: %v; want %v", form.name, err, context.Canceled)
		}
	}
}
