// Package source opens stores of all forms. It recognises a form by content, never by a file's name:
//
//	""                  the store of this machine: of Nix, or else of Guix
//	-                   a file on standard input
//	http(s)://…         a binary cache
//	local?root=…        Nix's name for a store on this machine, also with real=… and state=…
//	a directory         with nix/store or gnu/store in it: a relocated store, with its database, which says the store directory, or without;
//	                    with store and var in it: a copy of /nix, also named by either of them;
//	                    with nix-cache-info or narinfo files in it: a binary cache;
//	                    with store objects in it: a store directory
//	a file, or a pipe   an export stream (nix-store --export, guix archive --export, nix nario export),
//	                    or a tar of such a directory; also compressed
//
// Several sources form a chain: each object comes from the first source that has it.
// If that source lacks the files or has damaged ones, the next one that has the same object steps in; see [profile.Chain].
//
// If a form does not contain references, they come from Options.References,
// or else from a scan of the files.
package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/binarycache"
	"github.com/export-profile/export-profile/profile/decompress"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/profile/references"
	"github.com/export-profile/export-profile/profile/trust"
)

// Options configure how sources are read. The zero value works.
type Options struct {
	// Stdin is the file that "-" names.
	Stdin *os.File
	// SpoolDir holds temporary copies of data that cannot be read twice. Default: os.TempDir.
	SpoolDir string
	// Progress is called with the number of bytes read from a file since the last call.
	Progress func(bytes int64)
	// Opened, if not nil, is called with the form of each source, in their order.
	Opened func(from string, form Form)
	// Skipped, if not nil, is called for each object that a source of a chain should have, but a later one provides.
	// Several goroutines may call it.
	Skipped func(p profile.Path, err error)
	// Note, if not nil, is called with notes about a source for the user.
	Note func(text string)

	// References names a file with the objects' hashes and references, or a directory of closureInfo with such a file.
	// It replaces those of the sources.
	References string
	// StoreDir is the store directory of all sources. If it is nil, the sources say it, and have to agree.
	StoreDir *profile.StoreDir
	// Verify checks the NAR hashes of this machine's store too. Vouched: All implies it.
	Verify bool

	// Keys may vouch for objects; see package trust.
	Keys trust.Keys
	// Vouched selects the sources whose objects must be vouched for.
	Vouched Vouched

	// The following options concern servers only; see binarycache.Options.

	// NarInfoDir keeps narinfos from run to run, unless it is empty.
	NarInfoDir string
	// Netrc names a file with logins.
	Netrc string
	// Proxy selects the proxy of a request. Default: none.
	Proxy func(*http.Request) (*url.URL, error)
	// Retrying is called before each retry, by several goroutines at once.
	Retrying func(err error, wait time.Duration)

	hash   func(profile.Path) profile.Hash // from References
	hashed bool                            // References has all hashes

	workers *decompress.Workers // of all sources; set by Open

	// Open sets the following fields if there are several sources.
	others   func(context.Context) ([]profile.Path, error) // the objects of all sources
	named    bool                                          // the user names the source
	scanning func(from string)                             // called for a source that is scanned
}

// Vouched selects the sources whose objects a key or their content address must vouch for.
type Vouched int

const (
	Servers Vouched = iota // only http(s):// sources: the user already trusts the origin of files
	Nothing
	All
)

// maxWorkers limits how many pieces of compressed files are decompressed at once, and so their memory.
const maxWorkers = 4

// NotStoreError reports a source that is not a store of a supported form.
type NotStoreError struct {
	Source, Is string
}

func (e *NotStoreError) Error() string {
	return fmt.Sprintf("open store %q: it is %s", e.Source, e.Is)
}

// Open opens the sources as one store. Without sources, it opens the store of this machine.
// The error wraps fs.ErrNotExist if a source does not exist.
func Open(ctx context.Context, sources []string, o Options) (_ profile.Store, err error) {
	if len(sources) == 0 {
		sources = []string{""}
	}
	o.workers = decompress.NewWorkers(min(runtime.GOMAXPROCS(0), maxWorkers))
	var infos []*profile.Info
	if o.References != "" {
		if infos, err = readReferences(o.References); err != nil {
			return nil, err
		}
		if len(infos) > 0 && o.StoreDir == nil {
			o = o.in(infos[0].Path.StoreDir())
		}
		o.hash = hashes(infos)
		o.hashed = !slices.ContainsFunc(infos, func(i *profile.Info) bool { return !i.NarHash.Known() })
	}
	var stores []profile.Store
	defer func() {
		if err != nil {
			for _, s := range stores {
				err = errors.Join(err, s.Close())
			}
		}
	}()
	var scans []string // sources
	if len(sources) > 1 {
		o.others = func(ctx context.Context) ([]profile.Path, error) { return listAll(ctx, stores) }
		o.scanning = func(from string) { scans = append(scans, from) }
	}
	stdin := false
	for _, from := range sources {
		if from == "-" && stdin {
			return nil, errors.New("open store: standard input cannot be read twice")
		}
		stdin = stdin || from == "-"
		s, err := openOne(ctx, from, o)
		if err != nil {
			return nil, err
		}
		if needsVouching(from, o) {
			s = trust.Require(s, o.Keys)
		}
		if o.References != "" {
			s = references.Overlay(s, infos)
			if o.Vouched == All {
				s = trust.Require(s, o.Keys)
			}
		}
		stores = append(stores, s)
		if err := checkDirs(sources, stores, infos, o); err != nil {
			return nil, err
		}
	}
	for _, from := range sources {
		if len(scans) > 0 && binarycache.IsURL(from) && o.Note != nil {
			o.Note("a server does not list its store paths, so the scan of " + strings.Join(scans, ", ") + " finds no references to those that only a server has")
			break
		}
	}
	return profile.Chain(o.Skipped, stores...), nil
}

// dirs lists the store directories to look for in a file system.
func (o *Options) dirs() []profile.StoreDir {
	if o.StoreDir != nil {
		return []profile.StoreDir{*o.StoreDir}
	}
	return profile.KnownStoreDirs
}

// StoreDirError reports two different store directories.
type StoreDirError struct {
	Source string // as given, or "" for this machine's store
	Dir    profile.StoreDir
	Other  string // the source with the other directory, --references, --store-dir or ?store=DIR
	Wants  profile.StoreDir
}

func (e *StoreDirError) Error() string {
	from := fmt.Sprintf("%q", e.Source)
	if e.Source == "" {
		from = "this machine's store"
	}
	return fmt.Sprintf("open store: the store directory of %s is %s, but that of %s is %s", from, e.Dir, e.Other, e.Wants)
}

// checkDirs returns an error if the last store has another store directory than what was said or opened before.
func checkDirs(sources []string, stores []profile.Store, infos []*profile.Info, o Options) error {
	last := len(stores) - 1
	dir := stores[last].StoreDir()
	switch {
	case len(infos) > 0 && dir != infos[0].Path.StoreDir():
		return &StoreDirError{sources[last], dir, "--references", infos[0].Path.StoreDir()}
	case o.StoreDir != nil && dir != *o.StoreDir:
		return &StoreDirError{sources[last], dir, "--store-dir", *o.StoreDir}
	case dir != stores[0].StoreDir():
		return &StoreDirError{sources[last], dir, fmt.Sprintf("%q", sources[0]), stores[0].StoreDir()}
	}
	return nil
}

// listAll returns the objects of all stores that can list theirs.
func listAll(ctx context.Context, stores []profile.Store) ([]profile.Path, error) {
	var all []profile.Path
	for _, s := range stores {
		if l, ok := s.(profile.Lister); ok {
			paths, err := l.Paths(ctx)
			if err != nil {
				return nil, err
			}
			all = append(all, paths...)
		}
	}
	return all, nil
}

// OnlyNix reports whether a source has the name of a kind of store that only Nix can read.
func OnlyNix(from string) bool {
	scheme, _, ok := strings.Cut(strings.ToLower(from), "://")
	return from == "daemon" || ok && slices.Contains([]string{"ssh", "ssh-ng", "s3", "unix", "local", "dummy", "auto"}, scheme)
}

// needsVouching reports whether the objects of a source must be vouched for.
// If a file of references contains their hashes, that file is trusted in place of the source.
func needsVouching(from string, o Options) bool {
	switch o.Vouched {
	case All:
		return o.References == "" // otherwise Open checks the overlay
	case Servers:
		return binarycache.IsURL(from) && !o.hashed
	}
	return false
}

// hashes returns a function that finds the NAR hash of an object in infos.
func hashes(infos []*profile.Info) func(profile.Path) profile.Hash {
	hashes := make(map[profile.Path]profile.Hash, len(infos))
	for _, info := range infos {
		hashes[info.Path] = info.NarHash
	}
	return func(p profile.Path) profile.Hash { return hashes[p] }
}

// localOptions returns the options of package localstore.
// A signature covers only the NAR hash, so if objects must be vouched for, their files must be hashed too.
func localOptions(o Options) localstore.Options {
	return localstore.Options{StoreDir: o.dirs()[0], Verify: o.Verify || o.Vouched == All, Signatures: o.Vouched == All, Hash: o.hash, Note: o.Note}
}

// VerifyNarInfos removes the damaged narinfos in the directory of Options.NarInfoDir, and returns their names.
func VerifyNarInfos(ctx context.Context, dir string) (removed []string, err error) {
	return binarycache.VerifyInfos(ctx, dir)
}
