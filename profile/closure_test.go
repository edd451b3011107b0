package profile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFindClosure(t *testing.T) {
	for _, test := range []struct {
		name  string
		store fakeStore
		roots string
		want  string
		err   string
	}{
		{"alone", fakeStore{"p": "", "x": ""}, "p", "p", ""},
		{"diamond", fakeStore{"p": "q r", "q": "s", "r": "s", "s": "", "x": "p"}, "p", "p q r s", ""},
		{"itself", fakeStore{"p": "p q", "q": "q"}, "p", "p q", ""},
		{"cycle", fakeStore{"p": "q", "q": "r", "r": "p"}, "q", "p q r", ""},
		{"two roots", fakeStore{"p": "s", "q": "s", "s": "", "x": ""}, "p q", "p q s", ""},
		{"one root twice", fakeStore{"p": ""}, "p p", "p", ""},
		{"one root in the other", fakeStore{"p": "q", "q": ""}, "p q", "p q", ""},
		{"missing", fakeStore{"p": "q r", "q": "s"}, "p", "", "2 missing from the store: " +
			object("r").Base() + " (needed by " + object("p").Base() + "), " + object("s").Base() + " (needed by " + object("q").Base() + ")"},
		{"root missing", fakeStore{}, "p p", "", "1 missing from the store: " + object("p").Base()},
	} {
		t.Run(test.name, func(t *testing.T) {
			var roots []Path
			for _, r := range strings.Fields(test.roots) {
				roots = append(roots, object(r))
			}
			c, err := FindClosure(t.Context(), test.store, roots...)
			if test.err != "" {
				if err == nil || !strings.HasSuffix(err.Error(), test.err) || !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("FindClosure(%s) = %v, %v; want an error with %q", test.roots, c, err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			size := int64(0)
			for _, p := range c.Parts(t.Context()) {
				got = append(got, p.Name[digestLen+1:])
				size += p.Size
				if p.Key != "sha256:01"+strings.Repeat("00", 31) {
					t.Errorf("part %s has the key %q", p.Name, p.Key)
				}
				for _, ref := range p.Refs {
					if ref == p.Root {
						t.Errorf("part %s refers to itself", p.Name)
					}
				}
			}
			if d := cmp.Diff(strings.Fields(test.want), got); d != "" {
				t.Errorf("FindClosure(%s) (-want +got):\n%s", test.roots, d)
			}
			if size != c.Size() {
				t.Errorf("Size() = %d; want %d", c.Size(), size)
			}
		})
	}
}

// doubtfulStore is a fakeStore with some untrusted objects.
type doubtfulStore struct {
	fakeStore
	doubts string
}

func (d doubtfulStore) Info(ctx context.Context, p Path) (*Info, error) {
	if slices.Contains(strings.Fields(d.doubts), p.Name()) {
		info, err := d.fakeStore.Info(ctx, p)
		if err != nil {
			return nil, err
		}
		return info, fmt.Errorf("%s: %w", p.Name(), ErrUntrusted)
	}
	return d.fakeStore.Info(ctx, p)
}

// TestFindClosureUntrusted checks that one error names both untrusted and missing objects.
func TestFindClosureUntrusted(t *testing.T) {
	s := doubtfulStore{fakeStore{"p": "q r gone", "q": "s", "r": "", "s": ""}, "r s"}
	c, err := FindClosure(t.Context(), s, object("p"))
	want := "find closure: 1 missing from the store: " + object("gone").Base() + " (needed by " + object("p").Base() +
		"); 2 not trusted: r: not trusted, s: not trusted"
	if err == nil || err.Error() != want || !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, ErrUntrusted) {
		t.Errorf("FindClosure = %v, %v; want %s", c, err, want)
	}
	s = doubtfulStore{fakeStore{"p": "r", "r": ""}, "r"}
	if _, err := FindClosure(t.Context(), s, object("p")); errors.Is(err, fs.ErrNotExist) || !errors.Is(err, ErrUntrusted) {
		t.Errorf("FindClosure = %v; want %v", err, ErrUntrusted)
	}
}

// TestFindClosureAllUntrusted checks that the error also names objects to which only untrusted ones refer.
func TestFindClosureAllUntrusted(t *testing.T) {
	g := fakeStore{"p": "q r", "q": "s", "r": "s gone", "s": ""}
	want := "find closure: 1 missing from the store: " + object("gone").Base() +
		"; 4 not trusted: p: not trusted, q: not trusted, r: not trusted, s: not trusted"
	for _, s := range []Store{doubtfulStore{g, "p q r s"}, Chain(nil, fakeStore{}, doubtfulStore{g, "p q r s"})} {
		p, err := Resolve(t.Context(), s, string(object("p")))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := FindClosure(t.Context(), s, p.Path); err == nil || err.Error() != want {
			t.Errorf("FindClosure = %v; want %s", err, want)
		}
	}
}

// endlessStore is a store that invents untrusted objects without end.
type endlessStore struct{ fakeStore }

func (endlessStore) Info(_ context.Context, p Path) (*Info, error) {
	var n int
	_, _ = fmt.Sscanf(p.Name(), "n%d", &n)
	return &Info{Path: p, References: []Path{object(fmt.Sprint("n", n+1))}}, fmt.Errorf("%s: %w", p.Name(), ErrUntrusted)
}

// TestFindClosureEndless checks that the search through untrusted objects ends.
func TestFindClosureEndless(t *testing.T) {
	var e *ClosureError
	if _, err := FindClosure(t.Context(), endlessStore{}, object("n0")); !errors.As(err, &e) || len(e.Untrusted) != maxRefused+1 {
		t.Errorf("FindClosure = %v; want %d not trusted", err, maxRefused+1)
	}
}

// failingStore is a fakeStore that returns an error for one object.
type failingStore struct {
	fakeStore
	at  string
	err error
}

func (f failingStore) Info(ctx context.Context, p Path) (*Info, error) {
	if p.Name() == f.at {
		return nil, f.err
	}
	return f.fakeStore.Info(ctx, p)
}

// TestFindClosureFails checks that an unexpected error ends the search.
func TestFindClosureFails(t *testing.T) {
	broken := errors.New("broken")
	if _, err := FindClosure(t.Context(), failingStore{fakeStore{"p": "q gone", "q": ""}, "q", broken}, object("p")); !errors.Is(err, broken) {
		t.Errorf("FindClosure in a broken store = %v; want %v", err, broken)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	if _, err := FindClosure(ctx, fakeStore{"p": ""}, object("p")); !errors.Is(err, broken) {
		t.Errorf("FindClosure, cancelled = %v; want %v", err, broken)
	}
}

// TestFindClosureDeep checks that a long chain needs no deep recursion.
func TestFindClosureDeep(t *testing.T) {
	const n = 100_000
	g := make(fakeStore, n)
	for i := range n {
		g[fmt.Sprint("n", i)] = fmt.Sprint("n", (i+1)%n)
	}
	c, err := FindClosure(t.Context(), g, object("n0"))
	if err != nil || len(c.Infos) != n {
		t.Errorf("FindClosure of a cycle of %d = %v; want all of it", n, err)
	}
}

// cancellingStore is a fakeStore that cancels the search just before its last answer.
type cancellingStore struct {
	fakeStore
	cancel context.CancelFunc
}

func (c cancellingStore) Info(ctx context.Context, p Path) (*Info, error) {
	c.cancel()
	return c.fakeStore.Info(ctx, p)
}

// TestFindClosureCancelledAtEnd cancels a search while it ends, for the race detector.
func TestFindClosureCancelledAtEnd(t *testing.T) {
	for range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		c, err := FindClosure(ctx, cancellingStore{fakeStore{"p": ""}, cancel}, object("p"))
		if err == nil && len(c.Infos) != 1 {
			t.Errorf("FindClosure = %v, <nil>; want one object, or an error", c.Infos)
		}
	}
}

// sizedStore is a fakeStore of objects of the same size.
type sizedStore struct {
	fakeStore
	size int64
}

func (s sizedStore) Info(ctx context.Context, p Path) (*Info, error) {
	info, err := s.fakeStore.Info(ctx, p)
	if err == nil {
		info.NarSize = s.size
	}
	return info, err
}

// TestFindClosureSize checks that the sum of the sizes of a closure never overflows.
func TestFindClosureSize(t *testing.T) {
	for _, test := range []struct {
		size int64
		ok   bool
	}{
		{0, true}, {1 << 50, true}, {maxSize / 3, true}, {maxSize/3 + 1, false},
		{1 << 62, false}, {math.MaxInt64, false}, {-1, false}, {math.MinInt64, false},
	} {
		c, err := FindClosure(t.Context(), sizedStore{fakeStore{"p": "a b", "a": "", "b": ""}, test.size}, object("p"))
		switch {
		case test.ok && (err != nil || c.Size() != 3*test.size):
			t.Errorf("FindClosure of three objects of %d bytes = %v, %v; want <nil>", test.size, c, err)
		case !test.ok && (err == nil || !strings.HasPrefix(err.Error(), "find closure: ")):
			t.Errorf("FindClosure of three objects of %d bytes = %v, %v; want an error", test.size, c, err)
		}
	}
}
