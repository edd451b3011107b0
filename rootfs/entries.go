package rootfs

import (
	"fmt"
	"slices"
)

// Entries are all entries of the part at root, in path order and without their contents: Open is nil.
// The caller must not change them.
func (v *View) Entries(root string) ([]Entry, error) {
	if _, ok := v.parts[root]; !ok {
		return nil, fmt.Errorf("list %q: no such part", root)
	}
	l, err := v.list(root)
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", root, err)
	}
	return slices.AppendSeq(make([]Entry, 0, l.count), l.All()), nil
}
