package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// applier applies the changes of one layer.
type applier struct {
	*Overlay
	options Options
	layer   string // suffix of origins: " of layer 2", or "" for the only layer
}

func (a *applier) origin(c Change) origin { return origin(c.typed() + a.layer) }

func (a *applier) apply(ctx context.Context, c Change) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if c.HasOwner {
		a.noteIDs(c.typed(), c.UID, c.GID)
	}
	place := strings.TrimPrefix(c.Place, "/")
	switch c.Word {
	case Add:
		return a.add(ctx, c, place)
	case Mkdir:
		return a.mkdir(c, place)
	case Symlink:
		return a.put(c, rootfs.Link(place, c.Target), nil)
	case Whiteout:
		return a.whiteout(c, place)
	}
	return fmt.Errorf("unknown change %q", c.Word)
}

func (a *applier) add(ctx context.Context, c Change, place string) error {
	s, err := a.readSource(ctx, c.Source)
	if s != nil {
		a.closers = append(a.closers, s.closers...)
	}
	if err != nil {
		return err
	}
	if s.xattrs {
		a.note("%s: extended attributes are left out", c.typed())
	}
	if s.single {
		if c.Into || place == "" {
			name := filepath.Base(c.Source)
			if c.Source == Standard {
				return errors.New("standard input has no name: name the file in DST, without a slash at the end")
			}
			if strings.HasPrefix(name, whiteoutPrefix) {
				return fmt.Errorf("%q: %w", name, errWhiteoutName)
			}
			place = strings.TrimPrefix(place+"/"+name, "/")
		}
		i := s.items[0]
		i.Path = place
		return a.put(c, c.override(i.Entry), &i.sum)
	}
	if c.Mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 {
		return errors.New("setuid, setgid and sticky are only for a single file, and the source has several")
	}
	if place != "" {
		if err := a.makeTop(c, place); err != nil {
			return err
		}
	}
	for n, i := range s.items {
		if n%1000 == 0 {
			if err := context.Cause(ctx); err != nil {
				return err
			}
		}
		if place != "" {
			if s.linked {
				if err := a.stay(c, place, i.Entry); err != nil {
					return err
				}
			}
			i.Path = place + "/" + i.Path
		}
		if err := a.put(c, c.override(i.Entry), &i.sum); err != nil {
			return err
		}
	}
	return nil
}

// stay refuses an entry that a link of the same tar leads out of place.
// The user chose that place; the author of the tar did not. Links of the image may lead anywhere in the image.
func (a *applier) stay(c Change, place string, e rootfs.Entry) error {
	top, err := a.tree.resolve(place, true)
	if err != nil {
		return err
	}
	own := ""
	end, err := a.tree.resolveVia(place+"/"+e.Path, e.IsDir(), func(n *node) {
		if own == "" && n.from == a.origin(c) && n.layer == a.tree.layer {
			own = n.Path
		}
	})
	if err != nil || own == "" || rootfs.Within(top, end) {
		return err
	}
	return fmt.Errorf("%.255q in the tar: its link %q leads to %q, out of %q", e.Path, "/"+own, "/"+end, "/"+top)
}

// makeTop makes the directory that takes the contents of a source.
// An existing directory gets the mode and owner of the change.
func (a *applier) makeTop(c Change, place string) error {
	if c.Into || !c.HasMode && !c.HasOwner {
		return a.put(c, c.override(rootfs.Dir(place, 0o755)), nil)
	}
	path, err := a.tree.resolve(place, true)
	if err != nil {
		return err
	}
	had := a.tree.find(path)
	if had == nil || !had.IsDir() {
		return a.put(c, c.override(rootfs.Dir(place, 0o755)), nil)
	}
	e := c.override(had.Entry)
	if e.Mode == had.Mode && e.UID == had.UID && e.GID == had.GID {
		return nil
	}
	from := had.from
	if err := a.change(c, place, e); err != nil {
		return err
	}
	a.note("%s: the directory %q of %s gets mode %s and owner %d:%d", a.origin(c), "/"+path, from, formatMode(e.Mode), e.UID, e.GID)
	return nil
}

// change sets the mode and owner of an existing directory.
func (a *applier) change(c Change, place string, e rootfs.Entry) error {
	if e.Path == "" {
		return errors.New("leads to the root of the image, which cannot be changed")
	}
	if err := a.guard(c, "/"+place, e.Path); err != nil {
		return err
	}
	dir, err := a.tree.dir(e.Path, "")
	if err != nil {
		return err
	}
	a.tree.rules.apply(&e)
	dir.Entry, dir.from = e, a.origin(c)
	return nil
}

// override applies the change's mode and owner to an entry of its source.
func (c Change) override(e rootfs.Entry) rootfs.Entry {
	if c.HasOwner {
		e.UID, e.GID = c.UID, c.GID
	}
	switch {
	case !c.HasMode || e.IsLink():
	case e.IsDir():
		e.Mode = fs.ModeDir | searchable(c.Mode)
	default:
		e.Mode = c.Mode
	}
	return e
}

// put adds an entry by the rules of the package comment. Its path may lead through links.
func (a *applier) put(c Change, e rootfs.Entry, sum *[32]byte) error {
	wanted := "/" + e.Path
	path, err := a.tree.resolve(e.Path, e.IsDir())
	if err != nil {
		return err
	}
	e.Path = path
	n := &node{Entry: e, from: a.origin(c)}
	if sum != nil {
		n.sum = *sum
	}
	had := a.tree.find(path)
	switch {
	case had == nil:
		return a.set(c, wanted, n)
	case e.IsDir() && had.IsDir():
		return nil
	case e.IsLink() && had.IsDir() && had.from == fromBase:
		return a.linkOverDir(c, wanted, n, had)
	case e.IsDir() || had.IsDir():
		return conflict(n, had, wanted)
	}
	if end, err := a.tree.resolve(path, true); had.IsLink() && !e.IsLink() && err == nil {
		if dir := a.tree.find(end); dir != nil && dir.IsDir() {
			return conflict(n, had, wanted)
		}
	}
	if e.IsLink() && had.IsLink() && e.Target == had.Target && e.UID == had.UID && e.GID == had.GID {
		return nil
	}
	if err := a.set(c, wanted, n); err != nil {
		return err
	}
	a.note("%s: %q replaces the %s of %s: the later wins", n.from, "/"+path, had.kind(), had.from)
	return nil
}

// conflict returns an error that names both sides and says how to resolve it.
// If had is a link, it leads to a directory. The details name further obstacles.
func conflict(n, had *node, wanted string, details ...string) error {
	at := "it"
	if wanted != "/"+had.Path {
		at = fmt.Sprintf("it leads to %q, which", "/"+had.Path)
	}
	obstacle := fmt.Sprintf("%s is a %s of %s", at, had.kind(), had.from)
	if had.IsLink() && !n.IsDir() {
		obstacle += " and leads to a directory"
	}
	for _, d := range details {
		obstacle += ", and " + d
	}
	hint := "put a whiteout before it"
	if n.IsRegular() || had.IsLink() && !n.IsDir() {
		hint += fmt.Sprintf(", or write %s/ to add to the directory", wanted)
	}
	return fmt.Errorf("%q cannot become a %s: %s; %s: %w", wanted, n.kind(), obstacle, hint, fs.ErrExist)
}

func (a *applier) set(c Change, wanted string, n *node) error {
	if err := a.guard(c, wanted, n.Path); err != nil {
		return err
	}
	return a.tree.set(n)
}

// guard refuses changes to the store, unless the options allow them.
func (a *applier) guard(c Change, wanted, path string) error {
	if a.store.Above(path) {
		return fmt.Errorf("%q is the same in every layer, and cannot be changed", "/"+path)
	}
	name, _, in := a.store.Cut(path)
	if !in {
		return nil
	}
	if !a.options.AllowStoreChanges {
		if wanted == "/"+path {
			return fmt.Errorf("%q: %w", wanted, ErrStoreObject)
		}
		return fmt.Errorf("%q leads to %q: %w", wanted, "/"+path, ErrStoreObject)
	}
	a.note("%s changes the store: %q is not what its name promises", c.typed(), "/"+a.store.Object(name))
	return nil
}

func (a *applier) mkdir(c Change, place string) error {
	path, err := a.tree.resolve(place, true)
	if err != nil {
		return err
	}
	e := rootfs.Dir(path, 0o755)
	had := a.tree.find(path)
	if had != nil && !had.IsDir() {
		return conflict(&node{Entry: e}, had, "/"+place)
	}
	if had != nil {
		if !c.HasMode && !c.HasOwner {
			return nil
		}
		e = had.Entry
	}
	if c.HasMode {
		e.Mode = fs.ModeDir | c.Mode
	}
	if c.HasOwner {
		e.UID, e.GID = c.UID, c.GID
	}
	if had == nil {
		return a.set(c, "/"+place, &node{Entry: e, from: a.origin(c)})
	}
	return a.change(c, place, e)
}

// makeMissing makes a directory if nothing is at its path, and reports whether it did.
func (a *applier) makeMissing(c Change) bool {
	path, err := a.tree.resolve(strings.TrimPrefix(c.Place, "/"), true)
	if err != nil || path == "" || a.tree.find(path) != nil || a.store.Holds(path) {
		return false
	}
	return a.mkdir(c, path) == nil
}

func (a *applier) whiteout(c Change, place string) error {
	path, err := a.tree.resolve(place, false)
	if err != nil {
		return err
	}
	if path == "" || a.tree.find(path) == nil {
		return fmt.Errorf("nothing to hide: %w", fs.ErrNotExist)
	}
	if err := a.guard(c, "/"+place, path); err != nil {
		return err
	}
	return a.tree.remove(path)
}
