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

// blockContent makes content of some blocks and more bytes.
func blockContent(blocks, more int) []byte {
	piece := text(3, 64<<10)
	return []byte(strings.Repeat(piece, blocks*blockBytes/len(piece)+1)[:blocks*blockBytes+more])
}

// TestBlocks checks that neither the number of processors nor the sizes of writes change a blob,
// and that a reader without knowledge of blocks reads it.
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
				got := pack(t, c, content, 100_000*processors)
				if want == nil {
					want = got
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%s: the blob of %d bytes differs with %d processors", s, len(content), processors)
				}
			}
			got, err := unpack(c, want)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: decompressing gives %d bytes, %v; want %d", s, len(got), err, len(content))
			}
			if c.algorithm != algorithmGzip {
				continue
			}
			r, err := stdgzip.NewReader(bytes.NewReader(want))
			if err != nil {
				t.Fatal(err)
			}
			if r.Name != "" || !r.ModTime.IsZero() {
				t.Errorf("%s: gzip header = %+v; want no name and no time", s, r.Header)
			}
			r.Multistream(false)
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: the first gzip member has %d bytes, %v; want all %d", s, len(got), err, len(content))
			}
		}
	}
}

// TestWindows checks that writing through windows gives the same blob, also if a write is larger than its window.
func TestWindows(t *testing.T) {
	content := blockContent(2, 12345)
	c := Method{algorithm: algorithmZstd}
	want := pack(t, c, content, 1<<20)
	r := rand.New(rand.NewPCG(1, 2))
	var got bytes.Buffer
	blob, err := NewPool(c, 2).Pack(t.Context(), &got, func(_ context.Context, w *Stream) error {
		for rest := content; len(rest) > 0; {
			b := w.Window()
			if len(b) != 0 || cap(b) == 0 || cap(b) > windowBytes {
				return fmt.Errorf("Window() has length %d and capacity %d", len(b), cap(b))
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
		t.Errorf("Pack through windows = %+v, %v; same blob as with Write: %v", blob, err, bytes.Equal(got.Bytes(), want))
	}
}

// TestCompressorReuse checks that a used compressor compresses a block to the same bytes as a new one.
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
					t.Errorf("block %d: a used compressor makes %d bytes, %v; a new one makes %d", i, len(got), err, len(want))
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

// TestPackStops checks that after an error on either side no goroutine is left and all blocks are back in the pool.
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
			"the context is cancelled": func() error {
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
				t.Errorf("%s: Pack when %s: %v; want %v", s, name, err, broken)
			}
			if len(pool.blocks) != cap(pool.blocks) || len(pool.inputs) != cap(pool.inputs) || len(pool.outputs) != cap(pool.outputs) {
				t.Errorf("%s: when %s: %d of %d blocks, %d of %d inputs and %d of %d outputs are back in the pool", s, name,
					len(pool.blocks), cap(pool.blocks), len(pool.inputs), cap(pool.inputs), len(pool.outputs), cap(pool.outputs))
			}
		}
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines run after Pack; want %d", runtime.NumGoroutine(), before)
}

// TestPoolMemory checks how much memory the blocks of a pool have, with content that does not compress.
func TestPoolMemory(t *testing.T) {
	content := make([]byte, 3*blockBytes)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(content)
	for s, most := range map[string]int{
		"none": 6 * plainBlockBytes,
		"gzip": 2 * 2 * (2*blockBytes + blockBytes/64),
		"zstd": 2 * 2 * (2*blockBytes + blockBytes/2), // its module grows slices in steps
	} {
		m, err := Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		pool := NewPool(m, 2)
		_, err = pool.Pack(t.Context(), io.Discard, func(_ context.Context, w *Stream) error {
			for range 4 {
				if _, err := w.Write(content); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		held := 0
		for _, memory := range []chan []byte{pool.inputs, pool.outputs} {
			for range cap(memory) {
				held += cap(<-memory)
			}
		}
		if held > most {
			t.Errorf("%s: the blocks have %d KiB; want at most %d", s, held>>10, most>>10)
		}
	}
}
