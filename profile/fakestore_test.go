package profile

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// fakeStore is a store without files. It maps the name of each object to the names that it refers to.
type fakeStore map[string]string

// object returns the store path of a name, with a digest made from the name.
func object(name string) Path {
	digest := strings.Repeat("0", digestLen-len(name)) + strings.NewReplacer("e", "0", "o", "0", "t", "0", "u", "0").Replace(name)
	p, err := ParseBase(StoreDir{}, digest+"-"+name)
	if err != nil {
		panic(err)
	}
	return p
}

func (s fakeStore) Info(_ context.Context, p Path) (*Info, error) {
	refs, ok := s[p.Name()]
	if !ok || p != object(p.Name()) {
		return nil, fmt.Errorf("store path %q: %w", p, fs.ErrNotExist)
	}
	info := &Info{Path: p, NarSize: int64(100 + len(refs)), NarHash: Hash{1}}
	for _, r := range strings.Fields(refs) {
		info.References = append(info.References, object(r))
	}
	info.References = sortPaths(info.References)
	return info, nil
}

// Files returns the same tree for each object, with a link to the object q in it.
func (s fakeStore) Files(ctx context.Context, p Path) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		if _, err := s.Info(ctx, p); err != nil {
			yield(rootfs.Entry{}, err)
			return
		}
		rootfs.TreeOf([]rootfs.Entry{
			rootfs.Dir(p.Root(), 0o555), rootfs.Dir(p.Root()+"/bin", 0o555), rootfs.Dir(p.Root()+"/bin/sh", 0o555),
			rootfs.Link(p.Root()+"/self", "bin"), rootfs.Link(p.Root()+"/sw", string(object("q"))),
		})(yield)
	}
}

func (s fakeStore) StoreDir() StoreDir { return StoreDir{} }

func (s fakeStore) Close() error { return nil }

func (s fakeStore) Paths(context.Context) ([]Path, error) {
	var paths []Path
	for name := range s {
		paths = append(paths, object(name))
	}
	return sortPaths(paths), nil
}

// sortPaths sorts paths and drops duplicates.
func sortPaths(paths []Path) []Path {
	slices.Sort(paths)
	return slices.Compact(paths)
}
