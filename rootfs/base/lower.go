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

// runProfile is the one path at which New ignores the base image:
// that may have a profile of its own there, whose links must not be followed.
const runProfile = "run/profile"

// place returns the path at which an entry lands that is put at a path.
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
		placed = path // makeRoom and dirConflict report why it cannot be there
	}
	return placed + rest
}

// placeDir is like place, but also follows a link at the end of the path.
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

// inLower reports whether a path leads to a file in the base image.
func (b *builder) inLower(path string) bool {
	_, err := b.lower.Stat(path)
	return err == nil
}

// likeLower gives a directory the owner and mode that it has in the base image.
// The directories of the store are the same in every layer.
func (b *builder) likeLower(d rootfs.Entry) rootfs.Entry {
	if had, ok := b.lower.Lookup(d.Path); ok && had.IsDir() && !had.Other && !b.store.Above(d.Path) {
		had.Entry.Open = nil
		return had.Entry
	}
	return d
}

// checkLowerStore refuses a base image in which the store directory, or one above it, is not a directory.
func (b *builder) checkLowerStore() error {
	for _, path := range b.store.Dirs() {
		if had, ok := b.lower.Lookup(path); ok && (!had.IsDir() || had.Other) {
			return fmt.Errorf("the base image's %q is not a directory", "/"+path)
		}
	}
	return nil
}

// inStore reports whether only store objects and the directories above them may be at a path.
func (b *builder) inStore(place string) bool { return b.store.Above(place) || b.store.Holds(place) }

// dirConflict says why there cannot be a directory at a path, or returns "".
func (b *builder) dirConflict(path string) string {
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
	if b.inStore(end) {
		return fmt.Sprintf("the base image's %q leads into a store object", "/"+path)
	}
	if had, ok := b.lower.Lookup(end); ok && (!had.IsDir() || had.Other) {
		return fmt.Sprintf("the base image has a file at %q", "/"+path)
	}
	return ""
}

const takesPlace = "%q takes the place of the base image's"

// makeRoom sets the path at which an entry lands, and notes if it replaces a file of the base image.
// If the entry cannot be there, makeRoom notes why and returns false.
func (b *builder) makeRoom(e *rootfs.Entry) bool {
	if b.lower == nil {
		return true
	}
	wanted := e.Path
	if parent := rootfs.Parent(wanted); parent != "" {
		if why := b.dirConflict(parent); why != "" {
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

// sameEnd reports whether the base image's link old and the new link e lead to the same file of the store.
func (b *builder) sameEnd(old, e rootfs.Entry) bool {
	if !old.IsLink() || !e.IsLink() || b.view == nil {
		return false
	}
	was, err := b.lower.Stat(old.Path)
	if err != nil {
		return false
	}
	is, err := b.view.Stat(strings.TrimPrefix(e.Target, "/"))
	return err == nil && is.Path == was.Path
}

// lowerBundle returns the path of the base image's certificates, or "".
func (b *builder) lowerBundle() string {
	for _, path := range rootfs.CertificateBundles {
		if e, err := b.lower.Stat(path); err == nil && e.IsRegular() && !e.Other {
			return path
		}
	}
	return ""
}

func (b *builder) readLowerBundle() ([]byte, error) {
	path := b.lowerBundle()
	if path == "" {
		return nil, nil
	}
	content, err := b.readLower(path, maxBundle)
	if err != nil {
		return nil, fmt.Errorf("append to the base image's certificates: %w", err)
	}
	return content, nil
}

// readLower reads a file of the base image.
func (b *builder) readLower(path string, limit int64) ([]byte, error) {
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

// mergeLower appends a profile's accounts to the base image's, which all stay.
func (b *builder) mergeLower(f *accountFile) {
	e, err := b.lower.Stat(f.path)
	if err != nil {
		return
	}
	e.Entry.Path = f.path
	f.lower = &e.Entry
	content, err := b.readLower(f.path, maxAccountFile)
	if err != nil {
		f.broken = fmt.Errorf("append to the base image's %s: %w", f.path, err)
		return
	}
	profiles := f.content
	f.content = content
	if !f.fromProfile || f.broken != nil {
		return
	}
	had := accountNames(f.content)
	for line := range strings.Lines(string(profiles)) {
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

// writeAccountsOver replaces the base image's file if lines were added.
func (b *builder) writeAccountsOver(f *accountFile) {
	if f.fromProfile {
		b.files.Remove(b.place(f.path))
		replaced := fmt.Sprintf(takesPlace, "/"+b.place(f.path))
		b.notes = slices.DeleteFunc(b.notes, func(n string) bool { return n == replaced })
	}
	if len(f.added) == 0 {
		return
	}
	e := rootfs.File(f.path, f.lower.Mode&fs.ModePerm, 0, nil)
	e.UID, e.GID = f.lower.UID, f.lower.GID
	b.noted[fmt.Sprintf(takesPlace, "/"+b.place(f.path))] = true // the next note says more
	b.note("%q is the base image's with %s %q added", "/"+f.path, f.kind, f.added)
	b.putFileOver(e, f.content)
}
