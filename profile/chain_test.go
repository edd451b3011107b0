package profile

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/rootfs"
)

// namedStore is a fakeStore whose files contain its name.
type namedStore struct {
	fakeStore
	name string
}

func (n namedStore) Files(_ context.Context, p Path) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) { yield(rootfs.Link(p.Root(), n.name), nil) }
}

// unlistedStore is a store that cannot list its objects.
type unlistedStore struct{ Store }

func TestChain(t *testing.T) {
	broken := errors.New("broken")
	first, second := namedStore{fakeStore{"p": "q both", "both": ""}, "first"}, namedStore{fakeStore{"q": "", "both": ""}, "second"}
	c := Chain(nil, first, second)
	closure, err := FindClosure(t.Context(), c, object("p"))
	if err != nil {
		t.Fatal(err)
	}
	from := make(map[string]string)
	for _, part := range closure.Parts(t.Context()) {
		for e, err := range part.Tree {
			if err != nil {
				t.Fatal(err)
			}
			from[part.Name[digestLen+1:]] = e.Target
		}
	}
	if d := cmp.Diff(map[string]string{"p": "first", "q": "second", "both": "first"}, from); d != "" {
		t.Errorf("objects come from (-want +got):\n%s", d)
	}
	paths, err := c.(Lister).Paths(t.Context())
	if err != nil || len(paths) != 3 {
		t.Errorf("Paths() = %q, %v; want 3", paths, err)
	}
	if _, err := c.Info(t.Context(), object("gone")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none of 2 stores") {
		t.Errorf("Info of an object in no store = %v; want %v", err, fs.ErrNotExist)
	}
	for _, err := range c.Files(t.Context(), object("gone")) {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Files of an object in no store: %v; want %v", err, fs.ErrNotExist)
		}
	}

	// A store that trusts the object goes before one that does not. If none trusts it, the error says so.
	if _, err := Chain(nil, doubtfulStore{fakeStore{"p": ""}, "p"}, fakeStore{"p": ""}).Info(t.Context(), object("p")); err != nil {
		t.Errorf("Info of an object that the second store trusts = %v", err)
	}
	if _, err := Chain(nil, doubtfulStore{fakeStore{"p": ""}, "p"}, fakeStore{}).Info(t.Context(), object("p")); !errors.Is(err, ErrUntrusted) {
		t.Errorf("Info of an object that no store trusts = %v; want %v", err, ErrUntrusted)
	}
	// A broken store ends the search: it may be the one that has the object.
	if _, err := Chain(nil, failingStore{fakeStore{}, "p", broken}, fakeStore{"p": ""}).Info(t.Context(), object("p")); !errors.Is(err, broken) {
		t.Errorf("Info in a broken chain = %v; want %v", err, broken)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// askedStore counts how often it is asked for an object.
type askedStore struct {
	fakeStore
	asked *atomic.Int64
}

func (a askedStore) Info(ctx context.Context, p Path) (*Info, error) {
	a.asked.Add(1)
	return a.fakeStore.Info(ctx, p)
}

// TestChainRemembers checks that a chain asks a store only once for an object that it lacks and a later one has.
func TestChainRemembers(t *testing.T) {
	first := askedStore{fakeStore{}, new(atomic.Int64)}
	c := Chain(nil, first, namedStore{fakeStore{"p": ""}, "second"})
	closure, err := FindClosure(t.Context(), c, object("p"))
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range closure.Parts(t.Context())[0].Tree {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := first.asked.Load(); n != 1 {
		t.Errorf("the first store was asked %d times; want once", n)
	}
}

func TestChainAbilities(t *testing.T) {
	g, r, u := fakeStore{"p": ""}, rootedStore{fakeStore{"q": ""}, t.TempDir()}, unlistedStore{fakeStore{}}
	for _, test := range []struct {
		stores       []Store
		lists, links bool
	}{
		{[]Store{g}, true, false},
		{[]Store{g, g}, true, false},
		{[]Store{g, r}, true, true},
		{[]Store{g, u}, false, false},
		{[]Store{u, r}, false, true},
	} {
		c := Chain(nil, test.stores...)
		_, lists := c.(Lister)
		_, links := c.(Linker)
		if lists != test.lists || links != test.links {
			t.Errorf("Chain of %T lists %v, links %v; want %v, %v", test.stores, lists, links, test.lists, test.links)
		}
	}
}
