package profile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/export-profile/export-profile/rootfs"
)

// Chain joins several stores of one store directory into one. An object comes from the first store that has it.
// If that store turns out to lack the files, or to have damaged ones, the next one that has the same object steps in.
// So Chain reads an object whole before it passes on the first file, unless no later store could step in.
// The stores below Chain must check files against their hashes; see [Store.Files].
//
// skipped, if not nil, is called once for each object of a store for which another one steps in. Several goroutines may call it.
//
// The chain is a [Linker] if one of the stores is, and uses the first such store. It is a [Lister] if all of them are.
func Chain(skipped func(p Path, err error), stores ...Store) Store {
	if len(stores) == 1 {
		return stores[0]
	}
	c := &chain{stores: stores, skipped: skipped, objects: make(map[Path]*chained)}
	listers := true
	var linker Linker
	for _, s := range stores {
		_, ok := s.(Lister)
		listers = listers && ok
		if l, ok := s.(Linker); ok && linker == nil {
			linker = l
		}
	}
	switch {
	case listers && linker != nil:
		return struct {
			*chain
			Lister
			Linker
		}{c, chainLister{c}, linker}
	case listers:
		return struct {
			*chain
			Lister
		}{c, chainLister{c}}
	case linker != nil:
		return struct {
			*chain
			Linker
		}{c, linker}
	}
	return c
}

type chain struct {
	stores  []Store
	skipped func(Path, error) // or nil

	mu      sync.Mutex
	objects map[Path]*chained
}

// object returns what the chain remembers of an object.
func (c *chain) object(p Path) *chained {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.objects[p]
	if o == nil {
		o = &chained{turn: make(chan struct{}, 1), told: make(map[int]bool)}
		c.objects[p] = o
	}
	return o
}

// skip reports that another store steps in for the one at index i.
func (c *chain) skip(p Path, i int, err error) {
	o := c.object(p)
	c.mu.Lock()
	again := o.told[i]
	o.told[i] = true
	c.mu.Unlock()
	if c.skipped != nil && !again {
		c.skipped(p, err)
	}
}

// StoreDir implements [Store].
func (c *chain) StoreDir() StoreDir { return c.stores[0].StoreDir() }

// Info implements [Store]. A store that does not trust the object gives way to a later one that does.
func (c *chain) Info(ctx context.Context, p Path) (*Info, error) {
	_, info, err := c.find(ctx, p)
	return info, err // info may come with an error
}

// find returns the index of the first store that has the object, and what it knows of it.
// It remembers that store: to ask the stores before it again may need a network.
func (c *chain) find(ctx context.Context, p Path) (int, *Info, error) {
	o := c.object(p)
	c.mu.Lock()
	first := o.first
	c.mu.Unlock()
	if first != nil {
		return first.index, first.info, first.err
	}
	i, info, err := c.ask(ctx, p)
	if err == nil || errors.Is(err, ErrNoInfo) {
		c.mu.Lock()
		o.first = &answer{i, info, err}
		c.mu.Unlock()
	}
	return i, info, err
}

// ask asks one store after another for an object.
// Any error other than a missing or an untrusted object ends the search: that store may be the one that has it.
func (c *chain) ask(ctx context.Context, p Path) (int, *Info, error) {
	var refused answer // of a store that does not trust the object
	var lost []answer  // of stores that know the object but lack its files
	var missing []error
	for i, s := range c.stores {
		info, err := s.Info(ctx, p)
		switch {
		case err == nil || errors.Is(err, ErrNoInfo):
			for _, l := range lost {
				c.skip(p, l.index, l.err)
			}
			return i, info, err
		case errors.Is(err, ErrUntrusted):
			if refused.err == nil {
				refused = answer{i, info, err}
			}
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, err)
			if info != nil {
				lost = append(lost, answer{i, info, err})
			}
		default:
			return 0, nil, err
		}
	}
	if refused.err != nil {
		return 0, refused.info, refused.err
	}
	err := fmt.Errorf("%q is in none of %d stores: %w", p, len(c.stores), severalErrors(missing))
	if lost != nil {
		return 0, lost[0].info, err
	}
	return 0, nil, err
}

// answer is the answer of a store about an object.
type answer struct {
	index int
	info  *Info
	err   error
}

// Files implements [Store].
func (c *chain) Files(ctx context.Context, p Path) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		s, err := c.choose(ctx, p)
		if err != nil {
			yield(rootfs.Entry{}, err)
			return
		}
		s.Files(ctx, p)(yield)
	}
}

// Proven implements [Prover].
func (c *chain) Proven(p Path) bool {
	i, _, err := c.find(context.Background(), p)
	return err == nil && proven(c.stores[i], p)
}

func proven(s Store, p Path) bool {
	prover, ok := s.(Prover)
	return ok && prover.Proven(p)
}

// Spooler implements [Spooler].
func (c *chain) Spooler(p Path) func(context.Context) {
	i, _, err := c.find(context.Background(), p)
	if err != nil {
		return nil
	}
	return SpoolerOf(c.stores[i], p)
}

func (c *chain) Close() error {
	var errs []error
	for _, s := range c.stores {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

type chainLister struct{ *chain }

func (c chainLister) Paths(ctx context.Context) ([]Path, error) {
	var all []Path
	for _, s := range c.stores {
		paths, err := s.(Lister).Paths(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, paths...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}
