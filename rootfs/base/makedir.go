package base

import (
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// MakeDir adds a directory to the base files, owned by a user, if nothing is at its path.
// It follows the links of the image. Missing directories above belong to root.
// It makes nothing in the store, and nothing below a file or a link that leads nowhere.
func (f *Files) MakeDir(v *rootfs.View, lower *rootfs.Lower, path string, uid, gid int) error {
	w := dirWalk{view: v, lower: lower, files: make(map[string]rootfs.Entry)}
	for e, err := range f.Part.Tree {
		if err != nil {
			return err
		}
		w.files[e.Path] = e
	}
	place, err := rootfs.Follow(&rootfs.Entry{}, strings.Trim(path, "/"), true, w.step)
	if err != nil || place == "" || v.StoreDir().Holds(place) {
		return nil // there cannot be a directory
	}
	if _, ok := w.at(place); ok {
		return nil
	}
	var made []rootfs.Entry
	for i := 0; i <= len(place); i++ {
		if i < len(place) && place[i] != '/' {
			continue
		}
		e, ok := w.at(place[:i])
		switch {
		case ok && !e.IsDir():
			return nil
		case !ok:
			e = rootfs.Dir(place[:i], 0o755)
		}
		if e.Open = nil; i == len(place) {
			e.UID, e.GID = uid, gid
		}
		made = append(made, e)
	}
	f.Part, err = Extend(f.Part, rootfs.TreeOf(made))
	return err
}

// dirWalk looks up paths in base files over a base image, and in the store.
type dirWalk struct {
	view  *rootfs.View
	lower *rootfs.Lower
	files map[string]rootfs.Entry
}

// at returns the entry at a path without links. In a store object it is the one to which all links there lead.
func (w *dirWalk) at(path string) (rootfs.Entry, bool) {
	if e, ok := w.files[path]; ok {
		return e, true
	}
	if e, err := w.view.Stat(path); err == nil {
		return e, true
	}
	e, ok := w.lower.Lookup(path)
	if e.Other {
		e.Mode = 0 // it is no directory
	}
	return e.Entry, ok
}

func (w *dirWalk) step(dir *rootfs.Entry, name string) (*rootfs.Entry, string, error) {
	e, ok := w.at(strings.TrimPrefix(dir.Path+"/"+name, "/"))
	if !ok {
		return nil, "", nil
	}
	return &e, e.Target, nil
}
