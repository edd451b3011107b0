package base

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// runProfile is the one place where an image below is never asked where its links lead:
// it may have a profile of its own there.
const runProfile = "run/profile"

// place is where something comes to be that is put at a path.
func (b *builder) place(path string) string {
	if b.lower == nil {
		return path
	}
	rest := ""
	if rootfs.Within(runProfile, path) {
		path, rest = runProfile, path[len(runProfile):]
	}
	placed, err := b.lower.Place(path)
	if err != nil {
		placed = path // makeRoom and noDir say why it cannot be there
	}
	return placed + rest
}

// placeDir is place for a directory: a link at the end of its path is followed, too.
func (b *builder) placeDir(path string) string {
	path = b.place(path)
	if b.lower == nil || rootfs.Within(runProfile, path) {
		return path
	}
	if end, err := b.lower.Resolve(path); err == nil {
		return end
	}
	return path
}

// below says whether the image below has something at a path. A link that leads nowhere is nothing.
func (b *builder) below(path string) bool {
	_, err := b.lower.Stat(path)
	return err == nil
}

// dirBelow gives a directory the owner and mode that it has in the image below.
// The store has the same ones in every layer.
func (b *builder) dirBelow(d rootfs.Entry) rootfs.Entry {
	if had, ok := b.lower.Lookup(d.Path); ok && had.IsDir() && !had.Other && !rootfs.Within(d.Path, rootfs.StoreDir) {
		had.Entry.Open = nil
		return had.Entry
	}
	return d
}

// storeBelow refuses an image whose store is somewhere else.
func (b *builder) storeBelow() error {
	for _, path := range []string{"nix", rootfs.StoreDir} {
		if had, ok := b.lower.Lookup(path); ok && (!had.IsDir() || had.Other) {
			return fmt.Errorf("the base image's %q is not a directory", "/"+path)
		}
	}
	return nil
}

// inStore says whether a place is one that only store objects have.
func inStore(place string) bool { return place == "nix" || rootfs.Within(rootfs.StoreDir, place) }

// noDir says why there cannot be a directory at a path, or nothing.
func (b *builder) noDir(path string) string {
	if b.lower == nil {
		return ""
	}
	switch {
	case path == runProfile:
		path = rootfs.Parent(runProfile)
	case rootfs.Within(runProfile, path):
		return ""
	}
	end, err := b.lower.Resolve(path)
	if err != nil {
		return fmt.Sprintf("in the base image, %v", err)
	}
	if inStore(end) {
		return fmt.Sprintf("the base image's %q leads into a store object", "/"+path)
	}
	if had, ok := b.lower.Lookup(end); ok && (!had.IsDir() || had.Other) {
		return fmt.Sprintf("the base image has a file at %q", "/"+path)
	}
	return ""
}

const takesPlace = "%q takes the place of the base image's"

// makeRoom gives an entry its place, over what the image below has there.
// If it cannot be there, it is left out with a note.
func (b *builder) makeRoom(e *rootfs.Entry) bool {
	if b.lower == nil {
		return true
	}
	wanted := e.Path
	if parent := rootfs.Parent(wanted); parent != "" {
		if why := b.noDir(parent); why != "" {
			b.note("left out %q: %s", "/"+wanted, why)
			return false
		}
	}
	e.Path = b.place(wanted)
	had, ok := b.lower.Lookup(e.Path)
	if !ok || rootfs.Within(runProfile, wanted) {
		return true
	}
	if end, err := b.lower.Stat(e.Path); err == nil && end.IsDir() && !end.Other {
		b.note("left out %q: the base image has a directory there", "/"+wanted)
		return false
	}
	if !b.sameEnd(had.Entry, *e) {
		b.note(takesPlace, "/"+e.Path)
	}
	return true
}

// sameEnd says whether two links lead to the same file of the store.
func (b *builder) sameEnd(below, own rootfs.Entry) bool {
	if !below.IsLink() || !own.IsLink() || b.view == nil {
		return false
	}
	was, err := b.lower.Stat(below.Path)
	if err != nil {
		return false
	}
	is, err := b.view.Stat(strings.TrimPrefix(own.Target, "/"))
	return err == nil && is.Path == was.Path
}

// bundleBelow is where the image below has certificates, or "".
func (b *builder) bundleBelow() string {
	for _, path := range rootfs.CertificateBundles {
		if e, err := b.lower.Stat(path); err == nil && e.IsRegular() && !e.Other {
			return path
		}
	}
	return ""
}

func (b *builder) readBundleBelow() ([]byte, error) {
	path := b.bundleBelow()
	if path == "" {
		return nil, nil
	}
	content, err := b.readBelow(path, maxBundle)
	if err != nil {
		return nil, fmt.Errorf("append to the base image's certificates: %w", err)
	}
	return content, nil
}

// readBelow reads a file of the image below.
func (b *builder) readBelow(path string, limit int64) ([]byte, error) {
	e, err := b.lower.Stat(path)
	if err != nil {
		return nil, err
	}
	if !e.IsRegular() || e.Other || b.lower.Read == nil {
		return nil, errors.New("it is not a regular file")
	}
	content, err := b.lower.Read(e, limit)
	return bytes.Clone(content), err
}

// accountsBelow lays an account file over that of the image below: all accounts of that stay,
// and a profile's are appended.
func (b *builder) accountsBelow(f *accountFile) {
	e, err := b.lower.Stat(f.path)
	if err != nil {
		return
	}
	e.Entry.Path = f.path
	f.below = &e.Entry
	content, err := b.readBelow(f.path, maxAccounts)
	if err != nil {
		f.broken = fmt.Errorf("append to the base image's %s: %w", f.path, err)
		return
	}
	brought := f.content
	f.content = content
	if !f.brought || f.broken != nil {
		return
	}
	had := accountNames(f.content)
	for line := range strings.Lines(string(brought)) {
		name, _, ok := strings.Cut(line, ":")
		if !ok || had[name] {
			continue
		}
		had[name] = true
		f.appendLine(line)
		f.added = append(f.added, name)
	}
}

func accountNames(content []byte) map[string]bool {
	names := make(map[string]bool)
	for line := range strings.Lines(string(content)) {
		name, _, _ := strings.Cut(line, ":")
		names[name] = true
	}
	return names
}

func (f *accountFile) appendLine(line string) {
	if len(f.content) > 0 && f.content[len(f.content)-1] != '\n' {
		f.content = append(f.content, '\n')
	}
	f.content = append(f.content, line...)
}

// accountLinesOver makes the file in the place of that of the image below, if there is a line more.
func (b *builder) accountLinesOver(f *accountFile) {
	if f.brought {
		b.files.Remove(b.place(f.path))
		replaced := fmt.Sprintf(takesPlace, "/"+b.place(f.path))
		b.notes = slices.DeleteFunc(b.notes, func(n string) bool { return n == replaced })
	}
	if len(f.added) == 0 {
		return
	}
	e := rootfs.File(f.path, f.below.Mode&fs.ModePerm, 0, nil)
	e.UID, e.GID = f.below.UID, f.below.GID
	b.noted[fmt.Sprintf(takesPlace, "/"+b.place(f.path))] = true // said better
	b.note("%q is the base image's with %s %q added", "/"+f.path, f.kind, f.added)
	b.fileOver(e, f.content)
}
