package compress

import (
	"bytes"
	stdgzip "compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// blockContent is a little less or more than some blocks.
func blockContent(blocks, more int) []byte {
	piece := text(3, 64<<10)
	return []byte(strings.Repeat(piece, blocks*blockBytes/len(piece)+1)[:blocks*blockBytes+more])
}

// TestBlocks: whatever number of processors compresses a stream, and in whatever pieces it comes,
// the bytes are the same, and a reader that knows nothing of blocks reads them.
func TestBlocks(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, s := range []string{"none", "gzip", "zstd"} {
		c, err := Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range [][2]int{{0, 0}, {0, 1}, {1, 0}, {1, 1}, {2, 1000}} {
			content := blockContent(size[0], size[1])
			var want []byte
			for _, processors := range []int{1, 8} {
				runtime.GOMAXPROCS(processors)
				got := compressed(t, c, content, 100_000*processors)
				if want == nil {
					want = got
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%s: %d bytes have another blob with %d processors", s, len(content), processors)
				}
			}
			got, err := unpack(c, want)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: of %d bytes come back %d, %v", s, len(content), len(got), err)
			}
			if c.algorithm != algorithmGzip {
				continue
			}
			r, err := stdgzip.NewReader(bytes.NewReader(want))
			if err != nil {
				t.Fatal(err)
			}
			if r.Name != "" || !r.ModTime.IsZero() {
				t.Errorf("%s: the header is %+v", s, r.Header)
			}
			r.Multistream(false)
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: the first member has %d bytes of %d, %v", s, len(got), len(content), err)
			}
		}
	}
}

// TestWindows: what is written by way of windows is what is written by Write, also where it does not fit into one.
func TestWindows(t *testing.T) {
	content := blockContent(2, 12345)
	c := Method{algorithm: algorithmZstd}
	want := compressed(t, c, content, 1<<20)
	r := rand.New(rand.NewPCG(1, 2))
	var got bytes.Buffer
	blob, err := NewPool(c, 2).Pack(t.Context(), &got, func(_ context.Context, w *Stream) error {
		for rest := content; len(rest) > 0; {
			b := w.Window()
			if len(b) != 0 || cap(b) == 0 || cap(b) > windowBytes {
				return fmt.Errorf("a window has %d bytes of %d", len(b), cap(b))
			}
			n := min(len(rest), r.IntN(cap(b)+1000))
			if _, err := w.Write(append(b, rest[:n]...)); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
	if err != nil || blob.TarSize != int64(len(content)) || blob.DiffID != digest.FromBytes(content) || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("Pack = %+v, %v, with other bytes: %v", blob, err, !bytes.Equal(got.Bytes(), want))
	}
}

// TestCompressorReuse: a compressor that has seen other blocks makes the same of one as a new one.
func TestCompressorReuse(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	var blocks [][]byte
	for i := range 24 {
		b := []byte(text(uint64(i%5), 1+r.IntN(200<<10)))
		if i%6 == 5 {
			for j := range b {
				b[j] = byte(r.Uint32())
			}
		}
		blocks = append(blocks, b)
	}
	for _, s := range []string{"gzip:1", "gzip:2", "gzip:5", "gzip:6", "gzip:9", "zstd:1", "zstd:3", "zstd:7", "zstd:10"} {
		t.Run(s, func(t *testing.T) {
			t.Parallel()
			c, err := Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			some := blocks
			if s == "zstd:10" || s == "gzip:9" {
				some = blocks[:6]
			}
			used, err := c.compressor()
			if err != nil {
				t.Fatal(err)
			}
			for i, b := range some {
				fresh, err := c.compressor()
				if err != nil {
					t.Fatal(err)
				}
				want, err := fresh.append(nil, b)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := used.append(nil, b); err != nil || !bytes.Equal(got, want) {
					t.Errorf("block %d becomes %d bytes, %v; with a new compressor %d", i, len(got), err, len(want))
				}
			}
		})
	}
}

// failingWriter fails after some bytes.
type failingWriter struct {
	left int
	err  error
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, w.err
	}
	return len(p), nil
}

// TestPackStops: after an error on either side, nothing runs any longer, and all memory is back in the pool.
func TestPackStops(t *testing.T) {
	broken := errors.New("broken")
	endless := func(_ context.Context, w *Stream) error {
		for {
			if _, err := w.Write(make([]byte, 100<<10)); err != nil {
				return err
			}
		}
	}
	before := runtime.NumGoroutine()
	for _, s := range []string{"none", "gzip", "zstd"} {
		c, err := Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		pool := NewPool(c, 2)
		for name, run := range map[string]func() error{
			"the writer fails": func() error {
				_, err := pool.Pack(t.Context(), &failingWriter{100 << 10, broken}, endless)
				return err
			},
			"the producer fails": func() error {
				_, err := pool.Pack(t.Context(), io.Discard, func(_ context.Context, w *Stream) error {
					_, err := w.Write(make([]byte, 3*blockBytes+1))
					return errors.Join(err, broken)
				})
				return err
			},
			"cancelled": func() error {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(10*time.Millisecond, func() { cancel(broken) })
				_, err := pool.Pack(ctx, io.Discard, func(ctx context.Context, w *Stream) error {
					for ctx.Err() == nil {
						if _, err := w.Write(make([]byte, 100<<10)); err != nil {
							return err
						}
					}
					return context.Cause(ctx)
				})
				return err
			},
		} {
			if err := run(); !errors.Is(err, broken) {
				t.Errorf("%s: %s: %v; want %v", s, name, err, broken)
			}
			if len(pool.blocks) != cap(pool.blocks) {
				t.Errorf("%s: %s: %d blocks of %d are back", s, name, len(pool.blocks), cap(pool.blocks))
			}
		}
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("there are %d goroutines, and were %d", runtime.NumGoroutine(), before)
}
