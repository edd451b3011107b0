package ocilayout

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// OtherObjectsError says that a base image has different files under the names of store objects.
type OtherObjectsError struct{ Roots []string }

func (e *OtherObjectsError) Error() string {
	return fmt.Sprintf("the base image has other files than the store has in %s; "+
		"nothing that is laid over it could hide them", strings.Join(e.Roots, ", "))
}

// Without returns the parts that the image lacks.
// It trusts no name: the image has an object only if the object's files match the part's key,
// or, if the NAR hash of the object is unknown, the part's files.
func (t *ImageTree) Without(parts []rootfs.Part) (rest []rootfs.Part, err error) {
	other := &OtherObjectsError{}
	for _, p := range parts {
		same, there, err := t.has(p)
		switch {
		case err != nil:
			return nil, fmt.Errorf("compare %q with the base image: %w", "/"+p.Root, err)
		case there && !same:
			other.Roots = append(other.Roots, "/"+p.Root)
		case !there:
			rest = append(rest, p)
		}
	}
	if len(other.Roots) > 0 {
		return nil, other
	}
	return rest, nil
}

// has reports whether the image has something in the place of an object, and whether it is the same object.
func (t *ImageTree) has(p rootfs.Part) (same, there bool, err error) {
	if p.Root == "" {
		return false, false, nil
	}
	had, there := t.visibleObject(objectOf(t.store, p.Root))
	if !there {
		return false, false, nil
	}
	if had.Hash != "" && p.Key != "" {
		return "sha256:"+had.Hash == p.Key, true, nil
	}
	same, err = t.equal(p)
	return same, true, err
}

// equal compares all files of an object.
func (t *ImageTree) equal(p rootfs.Part) (bool, error) {
	next, stop := iter.Pull(t.Lower.Within(p.Root))
	defer stop()
	same := true
	for e, err := range rootfs.Check(p.Root, p.Tree) { // walk to the end: only then is the part checked
		if err != nil {
			return false, err
		}
		below, ok := next()
		sum := sha256.New()
		if e.IsRegular() {
			r, err := e.Open()
			if err != nil {
				return false, err
			}
			_, err = io.Copy(sum, r)
			if err := errors.Join(err, r.Close()); err != nil {
				return false, err
			}
		}
		switch {
		case !ok, below.Other, below.Path != e.Path, below.Mode.Type() != e.Mode.Type(), below.Target != e.Target:
			same = false
		case e.IsRegular():
			had := t.fileOf(below.Layer)[below.Source]
			same = same && had != nil && bytes.Equal(had.Sum, sum.Sum(nil)) && (below.Mode&0o100 != 0) == (e.Mode&0o100 != 0)
		}
	}
	_, more := next()
	return same && !more, nil
}

// fileOf indexes the files of a layer that are in the store.
func (t *ImageTree) fileOf(layer int) map[string]*listedEntry {
	files := t.sums[layer]
	if files == nil {
		files = make(map[string]*listedEntry)
		for i, e := range t.listings[layer].Entries {
			if e.Sum != nil && e.Source == e.Path {
				files[e.Path] = &t.listings[layer].Entries[i]
			}
		}
		t.sums[layer] = files
	}
	return files
}
