package profile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/export-profile/export-profile/rootfs"
)

// faultyStore is a fakeStore whose walks fail at a given place.
type faultyStore struct {
	fakeStore
	name   string
	fault  string // "", or one of those of TestChainStepsIn
	proven bool   // walks that open no files find faults in content, too
	hash   Hash
	walks  *atomic.Int64
}

func (f faultyStore) Info(ctx context.Context, p Path) (*Info, error) {
	info, err := f.fakeStore.Info(ctx, p)
	if err == nil && f.hash.Known() {
		info.NarHash = f.hash
	}
	if f.fault == "no files" {
		return info, fmt.Errorf("%s: %w: %w", f.name, ErrNoFiles, fs.ErrNotExist)
	}
	return info, err
}

func (f faultyStore) Proven(Path) bool { return f.proven }

func (f faultyStore) Files(_ context.Context, p Path) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		f.walks.Add(1)
		fail := func() { yield(rootfs.Entry{}, fmt.Errorf("%s: %s", f.name, f.fault)) }
		if f.fault == "no NAR" {
			fail()
			return
		}
		opened := f.proven
		file := rootfs.File(p.Root()+"/file", 0o444, int64(len(f.name)), func() (io.ReadCloser, error) {
			opened = true
			return io.NopCloser(strings.NewReader(f.name)), nil
		})
		if !yield(rootfs.Dir(p.Root(), 0o555), nil) || !yield(file, nil) {
			return
		}
		switch {
		case f.fault == "cut", f.fault == "wrong hash" && opened:
			fail()
		case f.fault == "spool":
			yield(rootfs.Entry{}, fmt.Errorf("%w: disk full", ErrSpool))
		}
	}
}

// content reads the only file of an object.
func content(t *testing.T, s Store, p Path) (string, error) {
	t.Helper()
	var all []byte
	for e, err := range s.Files(t.Context(), p) {
		if err != nil {
			return string(all), err
		}
		if e.IsRegular() {
			r, err := e.Open()
			if err != nil {
				t.Fatal(err)
			}
			if all, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	return string(all), nil
}

// TestChainStepsIn checks that the next store steps in for one that lacks the files of an object or has damaged ones,
// before a caller has seen any of them.
func TestChainStepsIn(t *testing.T) {
	p := object("p")
	for _, fault := range []string{"no files", "no NAR", "cut", "wrong hash"} {
		for _, proven := range []bool{false, true} {
			var skipped []string
			note := func(p Path, err error) { skipped = append(skipped, p.Name()+" "+err.Error()) }
			make := func(name, fault string) faultyStore {
				return faultyStore{fakeStore: fakeStore{"p": ""}, name: name, fault: fault, proven: proven, walks: new(atomic.Int64)}
			}
			c := Chain(note, fakeStore{}, make("first", fault), fakeStore{}, make("second", fault), make("third", ""))
			closure, err := FindClosure(t.Context(), c, p)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second walk remembers the store
				for range closure.Parts(t.Context())[0].Tree {
					break
				}
				if got, err := content(t, c, p); got != "third" || err != nil {
					t.Errorf("%s: Files = %q, %v; want the third store's", fault, got, err)
				}
			}
			if len(skipped) != 2 || !strings.HasPrefix(skipped[0], "p first: "+fault[:2]) || !strings.HasPrefix(skipped[1], "p second: ") {
				t.Errorf("%s: skipped %q; want a note on each of two stores", fault, skipped)
			}

			c = Chain(nil, make("first", fault), fakeStore{}, make("second", fault))
			got, err := content(t, c, p)
			if err == nil || !strings.Contains(err.Error(), "first: ") || !strings.Contains(err.Error(), "second: ") || got != "" {
				t.Errorf("%s in all stores: Files = %q, %v; want nothing and both errors", fault, got, err)
			}
		}
	}
}

// TestChainSearch checks which stores can step in, and what the search costs.
func TestChainSearch(t *testing.T) {
	p, other := object("p"), Hash{2}
	objects := fakeStore{"p": ""}
	store := func(name, fault string) faultyStore {
		return faultyStore{fakeStore: objects, name: name, fault: fault, walks: new(atomic.Int64)}
	}
	build := store("build", "")
	build.hash = other
	broken := errors.New("broken")

	if got, err := content(t, Chain(nil, store("first", "cut"), build, store("third", "")), p); got != "third" || err != nil {
		t.Errorf("Files with another build in the second store = %q, %v; want the third store's", got, err)
	}
	_, err := content(t, Chain(nil, store("first", "cut"), build), p)
	if err == nil || !strings.Contains(err.Error(), "first: cut; ") || !strings.Contains(err.Error(), "it is another build") {
		t.Errorf("Files with another build in the second store = %v; want both errors", err)
	}
	_, err = content(t, Chain(nil, store("first", "cut"), failingStore{objects, "p", broken}), p)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "first: cut") {
		t.Errorf("Files with a broken second store = %v; want both errors", err)
	}
	_, err = content(t, Chain(nil, store("first", "spool"), store("second", "")), p)
	if !errors.Is(err, ErrSpool) {
		t.Errorf("Files without space on this machine = %v; want %v", err, ErrSpool)
	}
	// No other store could step in, so no walk checks the object first.
	for _, c := range []Store{fakeStore{}, fakeStore{"q": ""}} {
		first := store("first", "")
		if got, err := content(t, Chain(nil, first, c), p); got != "first" || err != nil || first.walks.Load() != 1 {
			t.Errorf("Files = %q, %v, in %d walks; want the first store's in one walk", got, err, first.walks.Load())
		}
	}
	// The store of a server cannot say cheaply what it lacks.
	first := store("first", "cut")
	if _, err := content(t, Chain(nil, first, unlistedStore{fakeStore{}}), p); err == nil || !strings.HasSuffix(err.Error(), "first: cut; no other source can step in") {
		t.Errorf("Files of the only store = %v; want its error", err)
	}

	// Many callers share one search.
	first, second := store("first", "cut"), store("second", "")
	var notes atomic.Int64
	c := Chain(func(Path, error) { notes.Add(1) }, first, second)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if got, err := content(t, c, p); got != "second" || err != nil {
				t.Errorf("Files in parallel = %q, %v; want the second store's", got, err)
			}
		})
	}
	group.Wait()
	if first.walks.Load() != 1 || notes.Load() != 1 {
		t.Errorf("the first store was walked %d times, with %d notes; want 1, 1", first.walks.Load(), notes.Load())
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range Chain(nil, store("first", "cut"), store("second", "")).Files(ctx, p) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Files, cancelled: %v; want %v", err, context.Canceled)
		}
	}
}

// TestFindClosureNoFiles checks that one error names all objects without files, through references to each other.
func TestFindClosureNoFiles(t *testing.T) {
	g := faultyStore{fakeStore: fakeStore{"p": "q r", "q": "s", "r": "", "s": ""}, name: "store", fault: "no files"}
	for _, s := range []Store{g, Chain(nil, fakeStore{}, g)} {
		p, err := Resolve(t.Context(), s, string(object("p")))
		if err != nil {
			t.Fatal(err)
		}
		_, err = FindClosure(t.Context(), s, p.Path)
		var e *ClosureError
		if !errors.As(err, &e) || len(e.Lost) != 4 || len(e.Missing) != 0 || !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("FindClosure = %v; want 4 without files", err)
		}
		var needed []string
		for _, m := range e.Lost {
			needed = append(needed, m.Path.Name()+" for "+m.NeededBy.Name())
		}
		slices.Sort(needed)
		if want := []string{"p for p", "q for p", "r for p", "s for q"}; !slices.Equal(needed, want) {
			t.Errorf("FindClosure without files: %q; want %q", needed, want)
		}
	}
}
