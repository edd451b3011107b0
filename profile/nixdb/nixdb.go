// Package nixdb makes the state that Nix keeps beside its store, for an image in which Nix runs:
//
//	nix/var/nix/db/db.sqlite        the database of store objects
//	nix/var/nix/db/schema           "10", the version of its tables (since Nix 2.0)
//	nix/var/nix/gcroots/profiles    a link to nix/var/nix/profiles, as Nix makes it
//	nix/var/nix/gcroots/NAME        a link to each root of the closure
//	nix/var/nix/profiles/per-user   empty
//	nix/var/nix/temproots           empty
//
// Directories are 0755, files 0644, and root owns them, like the store: they serve a Nix that runs as root, or a daemon.
// Nix makes its lock files and its reserved space when it starts.
//
// For /gnu/store it is the state of Guix in var/guix: the same files, but with the tables of Guix.
// Their version is 7, as ever, and they have neither signatures and content addresses nor "ultimate".
//
// The database holds exactly the objects of the closure, with their hashes, sizes and references.
// Its bytes depend on nothing else that a source knows:
//
//   - Ids follow path order, from 1. References follow the order of the ids.
//   - Every object has the registration time 1, one second after the epoch.
//   - No object has a deriver, a signature or a content address, or counts as built here ("ultimate"):
//     not every form of a store records them, and two stores with the same objects may differ in them.
//     So another store accepts these objects only if it finds signatures elsewhere, or checks none.
//   - Package sqlite writes the file, not SQLite, so no release of a library changes an image.
//     The file has a rollback journal instead of a log ("version 1"),
//     so it can be read without a second file, even from a read-only file system. Nix turns the log on when it opens it.
//
// The links in gcroots protect the image's objects from Nix's garbage collector.
// They are not in profiles, because each operation on a profile would replace them.
package nixdb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// Files returns the state for a closure, as a tree that begins at the first directory above [profile.StateDir].
// It fails if the NAR hash of an object is unknown, or if a reference leads out of the closure.
func Files(c *profile.Closure) (rootfs.Tree, error) {
	if state := profile.StateDir(c.StoreDir); c.StoreDir.Holds(state[1:]) { // the store directory is …/var
		return nil, fmt.Errorf("make store database: its place %s is in the store", state)
	}
	tables := nixTables
	if c.StoreDir.IsGuix() {
		tables = guixTables
	}
	db, err := database(c.Infos, tables)
	if err != nil {
		return nil, fmt.Errorf("make store database: %w", err)
	}
	stateDir := profile.StateDir(c.StoreDir)[1:]
	var entries []rootfs.Entry
	for dir := stateDir; dir != ""; dir = rootfs.Parent(dir) {
		entries = append(entries, rootfs.Dir(dir, 0o755))
	}
	entries = append(entries,
		rootfs.Dir(stateDir+"/db", 0o755),
		file(stateDir+"/db/db.sqlite", db),
		file(stateDir+"/db/schema", []byte(tables.version)),
		rootfs.Dir(stateDir+"/gcroots", 0o755),
		rootfs.Link(stateDir+"/gcroots/profiles", "/"+stateDir+"/profiles"),
		rootfs.Dir(stateDir+"/profiles", 0o755),
		rootfs.Dir(stateDir+"/profiles/per-user", 0o755),
		rootfs.Dir(stateDir+"/temproots", 0o755),
	)
	for _, root := range slices.Compact(slices.Sorted(slices.Values(c.Roots))) {
		entries = append(entries, rootfs.Link(stateDir+"/gcroots/"+root.Base(), string(root)))
	}
	slices.SortFunc(entries, func(a, b rootfs.Entry) int { return rootfs.ComparePaths(a.Path, b.Path) })
	return rootfs.TreeOf(entries), nil
}

func file(path string, content []byte) rootfs.Entry {
	return rootfs.File(path, 0o644, int64(len(content)), func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	})
}

// database makes db.sqlite. infos must be sorted by path and hold each object once.
func database(infos []*profile.Info, tables tables) ([]byte, error) {
	ids := make(map[profile.Path]int64, len(infos))
	for i, info := range infos {
		ids[info.Path] = int64(i) + 1
	}
	var refs []reference
	var problems []error
	for _, info := range infos {
		if !info.NarHash.Known() {
			problems = append(problems, fmt.Errorf("%q: its NAR hash is not known", info.Path))
		}
		from := len(refs)
		for _, r := range info.References {
			id, ok := ids[r]
			if !ok {
				problems = append(problems, fmt.Errorf("%q refers to %q, which is not in the closure", info.Path, r))
			}
			refs = append(refs, reference{ids[info.Path], id})
		}
		own := refs[from:]
		slices.SortFunc(own, compareReferences)
		refs = refs[:from+len(slices.Compact(own))]
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return encode(infos, refs, tables)
}
