package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
)

// DiskUse is the size of a file in an image, or of a directory with all below it.
type DiskUse struct {
	Path  string // as visited, through links; relative, and empty for the root
	Size  int64  // bytes of regular files
	Dir   bool
	Depth int // below the place that was asked for
}

// DiskUse adds up files as du -aL --apparent-size does, and returns the sum.
// It follows links, and counts and visits each file once, whatever its names. Only regular files have sizes.
// It visits names in order, and a directory after its contents.
// It passes a link that leads to no file to lost instead.
// The error wraps fs.ErrNotExist if one of the places does not exist.
func (l *Lower) DiskUse(places []string, visit func(DiskUse) error, lost func(path string)) (total int64, err error) {
	u := diskUse{lower: l, visit: visit, lost: lost, seen: make(map[*lowerNode]bool)}
	for _, place := range places {
		n, err := u.follow(place)
		if err != nil {
			return total, err
		}
		size, err := u.walk(place, n, 0)
		if total += size; err != nil {
			return total, err
		}
	}
	return total, nil
}

type diskUse struct {
	lower *Lower
	visit func(DiskUse) error
	lost  func(string)
	seen  map[*lowerNode]bool
}

// follow returns the node to which a path leads through all links.
func (u *diskUse) follow(path string) (*lowerNode, error) {
	end, err := u.lower.resolve(path, true)
	if err != nil {
		return nil, err
	}
	if n := u.lower.find(end); n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("%q: %w", "/"+path, fs.ErrNotExist)
}

func (u *diskUse) walk(shown string, n *lowerNode, depth int) (size int64, err error) {
	switch {
	case u.seen[n]:
		return 0, nil
	case depth > MaxPathDepth:
		return 0, fmt.Errorf("%.255q: %w", "/"+shown, ErrDeep)
	}
	u.seen[n] = true
	if !n.isDir() {
		if n.IsRegular() && !n.Other {
			size = n.Size
		}
		return size, u.visit(DiskUse{Path: shown, Size: size, Depth: depth})
	}
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		child, below := n.children[name], path.Join(shown, name)
		if child.IsLink() && !child.Other {
			// A relative target starts at the directory's real path, not at the one shown.
			if child, err = u.follow(path.Join(n.Path, name)); errors.Is(err, fs.ErrNotExist) {
				u.lost(below)
				continue
			} else if err != nil {
				return size, err
			}
		}
		more, err := u.walk(below, child, depth+1)
		if size += more; err != nil {
			return size, err
		}
	}
	return size, u.visit(DiskUse{Path: shown, Size: size, Dir: true, Depth: depth})
}
