package overlay

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/export-profile/export-profile/rootfs"
)

// applyRules applies the rules to a store object.
// It does not read objects in which no rule can match.
func (o *Overlay) applyRules(p rootfs.Part) (rootfs.Part, error) {
	r := o.tree.rules
	if !o.tree.allow || !r.mayMatch(p.Root) {
		return p, nil
	}
	entries, err := o.tree.view.Entries(p.Root)
	if err != nil {
		return p, err
	}
	ruled := make(map[string]rootfs.Entry)
	for _, e := range entries {
		if r.apply(&e) {
			ruled[e.Path] = e
		}
	}
	if len(ruled) > 0 {
		o.ruled = append(o.ruled, "/"+p.Root)
	}
	return replaceAttributes(p, ruled)
}

// noteRuled notes which store objects the rules have changed.
func (o *Overlay) noteRuled() {
	switch n := len(o.ruled); n {
	case 0:
	case 1:
		o.note("rules change the store: %q is not what its hash promises", o.ruled[0])
	default:
		o.note("rules change the store: %q and %d more are not what their hashes promise", o.ruled[0], n-1)
	}
}

// replaceAttributes returns a part with the modes and owners of ruled, by path, and a key to match.
func replaceAttributes(p rootfs.Part, ruled map[string]rootfs.Entry) (rootfs.Part, error) {
	if len(ruled) == 0 {
		return p, nil
	}
	was := p.Tree
	p.Tree = func(yield func(rootfs.Entry, error) bool) {
		for e, err := range was {
			if c, ok := ruled[e.Path]; ok && err == nil {
				e.Mode, e.UID, e.GID = c.Mode, c.UID, c.GID
			}
			if !yield(e, err) {
				return
			}
		}
	}
	p.Changed = p.Root != ""
	if p.Key == "" {
		return p, nil
	}
	// The key of the base part is always its [rootfs.PartSum], so that it can be verified.
	if p.Root == "" {
		return rekeyBase(p)
	}
	h := sha256.New()
	fmt.Fprintf(h, "export-profile changed part 1\n%s\n", p.Key)
	for _, path := range slices.SortedFunc(maps.Keys(ruled), rootfs.ComparePaths) {
		e := ruled[path]
		// Relative paths: equal objects with different roots get equal keys.
		fmt.Fprintf(h, "%q %o %d:%d\n", path[len(p.Root):], uint32(e.Mode), e.UID, e.GID)
	}
	p.Key = "sha256:" + hex.EncodeToString(h.Sum(nil))
	return p, nil
}

// rekeyBase computes the key of a base part from its entries. They are few and small.
func rekeyBase(p rootfs.Part) (rootfs.Part, error) {
	sum := rootfs.NewPartSum()
	for e, err := range p.Tree {
		if err != nil {
			return p, err
		}
		content, err := rootfs.SumContent(e)
		if err != nil {
			return p, fmt.Errorf("read %q: %w", e.Path, err)
		}
		sum.Add(e, content)
	}
	p.Key = sum.Key()
	return p, nil
}
