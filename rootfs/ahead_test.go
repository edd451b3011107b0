package rootfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// samplePart returns a part with a directory, a link, and files of the given sizes.
// Their bytes differ by part and by file. Each walk adds to walks.
func samplePart(n int, walks *atomic.Int32, sizes ...int) Part {
	root := fmt.Sprintf("nix/store/%03d", n)
	return Part{Name: root, Root: root, Tree: func(yield func(Entry, error) bool) {
		if walks != nil {
			walks.Add(1)
		}
		if !yield(Dir(root, 0o555), nil) {
			return
		}
		for i, size := range sizes {
			b := bytes.Repeat([]byte{byte(n), byte(i), byte(size)}, size/3+1)[:size]
			e := Entry{Path: fmt.Sprintf("%s/%04d", root, i), Mode: 0o444, Size: int64(size),
				Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}
			if !yield(e, nil) {
				return
			}
		}
		yield(Link(root+"/link", root), nil)
	}}
}

// listParts lists the entries of parts, each with a hash of its content.
func listParts(t *testing.T, parts []Part) (lines []string) {
	t.Helper()
	for e, err := range Join(parts) {
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		if e.IsRegular() {
			r, err := e.Open()
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(sum, r)
			if err := errors.Join(err, r.Close()); err != nil || n != e.Size {
				t.Fatalf("%q: %d bytes, %v; want %d", e.Path, n, err, e.Size)
			}
		}
		lines = append(lines, fmt.Sprintf("%v %q %q %x", e.Mode, e.Path, e.Target, sum.Sum(nil)))
	}
	return lines
}

// TestAhead checks that parts that are read ahead have the same trees, whatever their sizes, and are read once.
func TestAhead(t *testing.T) {
	var walks atomic.Int32
	var parts []Part
	for n := range 40 {
		parts = append(parts, samplePart(n, &walks, 0, 1, n, pieceBytes-1, pieceBytes, pieceBytes+1, n%3*aheadPieces*pieceBytes))
	}
	parts = append(parts, Part{Name: "base", Tree: TreeOf([]Entry{Dir("etc", 0o755), Dir("nix", 0o755), Dir("nix/store", 0o755)})})
	want := listParts(t, parts)
	for _, limit := range []int{1, 2, 3, 100} {
		walks.Store(0)
		ahead, stop := Ahead(parts, limit)
		got := listParts(t, ahead)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("at most %d (-want +got):\n%.1000s", limit, diff)
		}
		if n := walks.Load(); n != 40 {
			t.Errorf("at most %d: %d walks; want 40", limit, n)
		}
		if diff := cmp.Diff(want, listParts(t, ahead)); diff != "" {
			t.Errorf("at most %d, again (-want +got):\n%.1000s", limit, diff)
		}
		stop()
		stop()
	}
}

// TestAheadBounds checks that Ahead reads no more parts than allowed, and of each no more than its pieces hold.
func TestAheadBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var walks atomic.Int32
		var read atomic.Int64
		var parts []Part
		for n := range 10 {
			p := samplePart(n, &walks, 100, 10*aheadPieces*pieceBytes)
			tree := p.Tree
			p.Tree = func(yield func(Entry, error) bool) {
				for e, err := range tree {
					if open := e.Open; open != nil {
						e.Open = func() (io.ReadCloser, error) {
							r, err := open()
							return struct {
								io.Reader
								io.Closer
							}{io.TeeReader(r, byteCounter{&read}), r}, err
						}
					}
					if !yield(e, err) {
						return
					}
				}
			}
			parts = append(parts, p)
		}
		ahead, stop := Ahead(parts, 3)
		synctest.Wait()
		if n, max := walks.Load(), int64(3*(aheadPieces+1)*pieceBytes); n != 3 || read.Load() > max {
			t.Errorf("%d parts and %d bytes are read ahead; want 3, and %d at most", n, read.Load(), max)
		}
		// Each part that is walked makes room for the next.
		for i, p := range ahead[:5] {
			for range p.Tree {
			}
			synctest.Wait()
			if n := int(walks.Load()); n != i+4 {
				t.Errorf("after %d parts, %d were begun; want %d", i+1, n, i+4)
			}
		}
		stop()
	})
}

type byteCounter struct{ n *atomic.Int64 }

func (c byteCounter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// TestAheadErrors checks that a walk yields the same entries and the same error as without Ahead.
func TestAheadErrors(t *testing.T) {
	wrong := errors.New("it is broken")
	failing := func(at string) Part {
		p := samplePart(1, nil, 10, 3*pieceBytes, 10)
		tree := p.Tree
		p.Tree = func(yield func(Entry, error) bool) {
			files := 0
			for e, err := range tree {
				if e.IsRegular() {
					files++
				}
				if files == 2 && e.IsRegular() {
					open := e.Open
					switch at {
					case "tree":
						yield(Entry{}, wrong)
						return
					case "open":
						e.Open = func() (io.ReadCloser, error) { return nil, wrong }
					case "read":
						e.Open = func() (io.ReadCloser, error) {
							r, err := open()
							return io.NopCloser(io.MultiReader(io.LimitReader(r, 2*pieceBytes+5), failingFile{wrong})), err
						}
					case "cut":
						e.Open = func() (io.ReadCloser, error) {
							r, err := open()
							return io.NopCloser(io.MultiReader(io.LimitReader(r, 5), failingFile{io.ErrUnexpectedEOF})), err
						}
					case "idle":
						e.Open = func() (io.ReadCloser, error) { return io.NopCloser(failingFile{}), nil }
					case "close":
						e.Open = func() (io.ReadCloser, error) {
							r, err := open()
							return struct {
								io.Reader
								io.Closer
							}{r, failingFile{wrong}}, err
						}
					}
				}
				if !yield(e, err) {
					return
				}
			}
			if at == "end" {
				yield(Entry{}, wrong)
			}
		}
		return p
	}
	walk := func(p Part) (got []string, err error) {
		for e, err := range p.Tree {
			if err != nil {
				return got, err
			}
			n, err := int64(0), error(nil)
			if e.IsRegular() {
				var r io.ReadCloser
				if r, err = e.Open(); err == nil {
					n, err = io.Copy(io.Discard, r)
					err = errors.Join(err, r.Close())
				}
			}
			got = append(got, fmt.Sprint(e.Path, " ", n))
			if err != nil {
				return got, err
			}
		}
		return got, nil
	}
	for _, at := range []string{"", "tree", "open", "read", "cut", "idle", "close", "end"} {
		p := failing(at)
		want, wantErr := []string{"nix/store/001 0", "nix/store/001/0000 10", "nix/store/001/0001 0"}, io.ErrNoProgress
		if at != "idle" { // a plain walk of it would never end
			want, wantErr = walk(p)
		}
		var got []string
		var err error
		synctest.Test(t, func(t *testing.T) {
			ahead, stop := Ahead([]Part{p}, 1)
			defer stop()
			synctest.Wait() // until it is read
			got, err = walk(ahead[0])
		})
		if diff := cmp.Diff(want, got); diff != "" || fmt.Sprint(err) != fmt.Sprint(wantErr) || (err == nil) != (at == "") {
			t.Errorf("%s: walk = %v; want %v (-want +got):\n%s", at, err, wantErr, diff)
		}
	}
}

type failingFile struct{ err error }

func (f failingFile) Read([]byte) (int, error) { return 0, f.err }
func (f failingFile) Close() error             { return f.err }

// TestAheadStop checks that walks may stop at any entry, come in any order, and read any part of a file.
// The bubble fails the test if a goroutine is still blocked at its end.
func TestAheadStop(t *testing.T) { synctest.Test(t, testAheadStop) }

func testAheadStop(t *testing.T) {
	var parts []Part
	for n := range 10 {
		parts = append(parts, samplePart(n, nil, 1, 4*aheadPieces*pieceBytes, 1))
	}
	for stopAt := range 6 {
		for _, order := range [][]int{nil, {0}, {0, 1, 2}, {9, 0, 5}, {3, 2, 1, 0}} {
			ahead, stop := Ahead(parts, 3)
			for _, n := range order {
				seen := 0
				for e, err := range ahead[n].Tree {
					if err != nil || !strings.HasPrefix(e.Path, parts[n].Root) {
						t.Fatalf("part %d: %q, %v", n, e.Path, err)
					}
					if seen++; seen == stopAt {
						break
					}
					if e.IsRegular() { // read some of it
						r, err := e.Open()
						if err != nil {
							t.Fatal(err)
						}
						if _, err := io.CopyN(io.Discard, r, min(e.Size, 100_000)); err != nil {
							t.Fatal(err)
						}
					}
				}
				if stopAt == 0 && seen != 5 {
					t.Errorf("part %d has %d entries; want 5", n, seen)
				}
			}
			stop()
		}
	}
}

// TestAheadStopped checks that a stop during a walk is an error, and not a shorter tree.
func TestAheadStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead, stop := Ahead([]Part{samplePart(0, nil, 8*aheadPieces*pieceBytes, 1)}, 1)
		synctest.Wait() // until it is read
		var last error
		for _, err := range ahead[0].Tree {
			stop()
			last = err
		}
		if last != errStopped {
			t.Errorf("the last error is %v; want %v", last, errStopped)
		}
	})
}

// spoolingParts returns large and small parts that can be spooled. Spooling and walking report what they do.
func spoolingParts(sizes []int, spool func(ctx context.Context, i int), walk func(i int)) []Part {
	var parts []Part
	for i, size := range sizes {
		p := samplePart(i, nil, size)
		tree := p.Tree
		p.Size = int64(size)
		p.Spool = func(ctx context.Context) { spool(ctx, i) }
		p.Tree = func(yield func(Entry, error) bool) {
			walk(i)
			tree(yield)
		}
		parts = append(parts, p)
	}
	return parts
}

const largePart = 2 * aheadPieces * pieceBytes

// TestAheadSpool checks that large parts are spooled, each at most once and before it is walked, with the same trees.
func TestAheadSpool(t *testing.T) {
	sizes := []int{100, largePart, 3 * largePart, 0, 2 * largePart, 200, largePart, largePart}
	nothing := func(context.Context, int) {}
	want := listParts(t, spoolingParts(sizes, nothing, func(int) {}))
	for _, limit := range []int{1, 2, 3, 8} {
		spools, walks, spooling := make([]atomic.Int32, len(sizes)), make([]atomic.Int32, len(sizes)), make([]atomic.Bool, len(sizes))
		parts := spoolingParts(sizes, func(_ context.Context, i int) {
			spooling[i].Store(true)
			spools[i].Add(1)
			time.Sleep(time.Millisecond)
			spooling[i].Store(false)
		}, func(i int) {
			walks[i].Add(1)
			if spooling[i].Load() {
				t.Errorf("at most %d: part %d is walked while it is spooled", limit, i)
			}
		})
		ahead, stop := Ahead(parts, limit)
		if diff := cmp.Diff(want, listParts(t, ahead)); diff != "" {
			t.Errorf("at most %d (-want +got):\n%.1000s", limit, diff)
		}
		stop()
		for i, size := range sizes {
			most := int32(1)
			if size < largePart || limit == 1 {
				most = 0
			}
			if s, w := spools[i].Load(), walks[i].Load(); s > most || w != 1 {
				t.Errorf("at most %d: part %d was spooled %d times and walked %d times; want at most %d, and 1", limit, i, s, w, most)
			}
		}
	}
}

// TestAheadSpoolLimit checks that parts of too many bytes are not spooled, whatever sizes they declare, and those that fit are.
func TestAheadSpoolLimit(t *testing.T) {
	for _, test := range []struct{ sizes, want []int64 }{
		{[]int64{spoolAhead + 1, largePart, spoolAhead - largePart, 2 * largePart}, []int64{spoolAhead - largePart, largePart}},
		{[]int64{math.MaxInt64, math.MaxInt64, spoolAhead, spoolAhead, 1 << 62, 1 << 62}, []int64{spoolAhead}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var spooled []int64
			parts := spoolingParts(make([]int, len(test.sizes)), func(_ context.Context, i int) { spooled = append(spooled, test.sizes[i]) }, func(int) {})
			for i, size := range test.sizes {
				parts[i].Size = size
			}
			_, stop := Ahead(parts, 2)
			synctest.Wait()
			stop()
			if !slices.Equal(spooled, test.want) {
				t.Errorf("of parts of %d bytes, those of %d are spooled; want %d", test.sizes, spooled, test.want)
			}
		})
	}
}

// TestAheadSpoolOrder checks that the largest parts are spooled first, before any walk, several at a time, and that stop ends that.
func TestAheadSpoolOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var begun []int
		parts := spoolingParts([]int{largePart, 3 * largePart, 5 * largePart, 2 * largePart}, func(ctx context.Context, i int) {
			mu.Lock()
			begun = append(begun, i)
			mu.Unlock()
			<-ctx.Done()
		}, func(int) {})
		_, stop := Ahead(parts, 3)
		synctest.Wait()
		slices.Sort(begun)
		if want := []int{1, 2}; !slices.Equal(begun, want) {
			t.Errorf("parts %v are spooled; want %v", begun, want)
		}
		stop()
		if len(begun) != 2 {
			t.Errorf("parts %v were spooled; want none after stop", begun)
		}
	})
}
