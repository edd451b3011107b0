package profile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// Chain joins several stores into one. An object comes from the first store that has it.
// The chain is a [Linker] if one of the stores is, and uses the first such store. It is a [Lister] if all of them are.
func Chain(stores ...Store) Store {
	if len(stores) == 1 {
		return stores[0]
	}
	c := &chain{stores: stores}
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

type chain struct{ stores []Store }

// Info implements [Store]. A store that does not trust the object gives way to a later one that does.
func (c *chain) Info(ctx context.Context, p Path) (*Info, error) {
	_, info, err := c.find(ctx, p)
	return info, err // info may come with ErrUntrusted
}

// find returns the first store that has the object and what it knows of it.
// Any error other than a missing or an untrusted object ends the search: that store may be the one that has it.
func (c *chain) find(ctx context.Context, p Path) (Store, *Info, error) {
	var untrusted error
	var untrustedInfo *Info
	var missing []string
	for _, s := range c.stores {
		info, err := s.Info(ctx, p)
		switch {
		case err == nil || errors.Is(err, ErrNoInfo):
			return s, info, err
		case errors.Is(err, ErrUntrusted):
			if untrusted == nil {
				untrusted, untrustedInfo = err, info
			}
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, err.Error())
		default:
			return nil, nil, err
		}
	}
	if untrusted != nil {
		return nil, untrustedInfo, untrusted
	}
	return nil, nil, fmt.Errorf("%q is in none of %d stores: %s: %w", p, len(c.stores), strings.Join(missing, "; "), fs.ErrNotExist)
}

func (c *chain) Files(ctx context.Context, p Path) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		s, _, err := c.find(ctx, p)
		if err != nil && !errors.Is(err, ErrNoInfo) {
			yield(rootfs.Entry{}, err)
			return
		}
		s.Files(ctx, p)(yield)
	}
}

// Proven implements [Prover].
func (c *chain) Proven(p Path) bool {
	s, _, err := c.find(context.Background(), p)
	prover, ok := s.(Prover)
	return err == nil && ok && prover.Proven(p)
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
