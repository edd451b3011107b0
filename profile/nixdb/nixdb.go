// Package nixdb makes the state that Nix itself keeps beside a store, for an image in which Nix runs:
//
//	nix/var/nix/db/db.sqlite        what Nix knows of each store object
//	nix/var/nix/db/schema           "10", the version of its tables (since Nix 2.0, until now)
//	nix/var/nix/gcroots/profiles    a link to nix/var/nix/profiles, as Nix makes it
//	nix/var/nix/gcroots/NAME        a link to each root of the closure
//	nix/var/nix/profiles/per-user   empty
//	nix/var/nix/temproots           empty
//
// Directories are 0755 and files 0644, all of them root's, as the store is: it is for a Nix that root runs,
// or a daemon. Locks, and what only takes up space, Nix makes when it is started.
//
// The database holds exactly the objects of the closure, with hashes, sizes and references.
// It has the same bytes whatever the source knew:
//
//   - Ids are those of path order, from 1. References are in the order of the ids.
//   - Each object was registered one second after the epoch.
//   - There is no deriver, no signature, no content address, and no object is called built here ("ultimate"):
//     not every form of a store has them, and two stores with the same objects may have others.
//     So to another store these objects are copied only with signatures from elsewhere, or without checking any.
//   - The file is written here page by page and not by SQLite, so that no release of a library changes an image.
//     It is what SQLite calls version 1 (a rollback journal and no log),
//     which can be read without anything beside it, even where nothing can be written.
//     Nix makes it one with a log when it opens it.
//
// The links in gcroots keep Nix's garbage collector from what the image consists of.
// They are not in profiles, since each operation on a profile would make another one of it.
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

const stateDir = "nix/var/nix"

// schemaVersion is the version of the tables.
const schemaVersion = "10"

// Files is the state for a closure, from the directory nix on.
// It is an error if the hash of an object is not known.
func Files(c *profile.Closure) (rootfs.Tree, error) {
	db, err := database(c.Infos)
	if err != nil {
		return nil, fmt.Errorf("make store database: %w", err)
	}
	entries := []rootfs.Entry{
		rootfs.Dir("nix", 0o755),
		rootfs.Dir("nix/var", 0o755),
		rootfs.Dir(stateDir, 0o755),
		rootfs.Dir(stateDir+"/db", 0o755),
		file(stateDir+"/db/db.sqlite", db),
		file(stateDir+"/db/schema", []byte(schemaVersion)),
		rootfs.Dir(stateDir+"/gcroots", 0o755),
		rootfs.Link(stateDir+"/gcroots/profiles", "/"+stateDir+"/profiles"),
		rootfs.Dir(stateDir+"/profiles", 0o755),
		rootfs.Dir(stateDir+"/profiles/per-user", 0o755),
		rootfs.Dir(stateDir+"/temproots", 0o755),
	}
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

// database is db.sqlite with objects that are sorted by path, each once.
func database(infos []*profile.Info) ([]byte, error) {
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
	return encode(infos, refs)
}
