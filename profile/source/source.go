// Package source tells the forms of a store apart, by looking and never by a file's name.
//
//	""                  the store of this machine
//	-                   a file on standard input
//	http(s)://…         a binary cache
//	a directory         with nix/store in it: a relocated store, with its database or without;
//	                    with nix-cache-info or narinfo files in it: a binary cache;
//	                    with store objects in it: a store directory
//	a file, or a pipe   an export stream (nix-store --export, nix nario export), or a tar of such a directory;
//	                    also compressed
//
// Several are a chain: the first that has an object gives it.
//
// Where a form does not say what its objects refer to, Options.References does, or else they are scanned.
package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/binarycache"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/profile/references"
	"github.com/export-profile/export-profile/profile/trust"
)

// Options say how a source is read. The zero value is right.
type Options struct {
	// Stdin is what "-" stands for.
	Stdin *os.File
	// SpoolDir is where is kept meanwhile what cannot be read twice, by default os.TempDir.
	SpoolDir string
	// Progress is called with the bytes of a file read since the last call.
	Progress func(bytes int64)
	// Note, if not nil, is called with what a person should know of a source.
	Note func(text string)

	// References is a file that says what the objects' hashes and references are,
	// for sources that do not, or in place of what they say.
	References string
	// Verify checks the NAR hashes of this machine's store, too. So does Vouched if it is All.
	Verify bool

	// Keys are those that may vouch for objects; see package trust.
	Keys trust.Keys
	// Vouched says of which sources objects must be vouched for.
	Vouched Vouched

	// What follows is for servers. NarInfoDir is where narinfos are kept from run to run, if it is not empty.
	NarInfoDir string
	Netrc      string
	Proxy      func(*http.Request) (*url.URL, error)
	Retrying   func(err error, wait time.Duration) // told before anything is tried again, from several goroutines
}

// Vouched says of which sources objects must be vouched for by a key or by their content address.
type Vouched int

const (
	Servers Vouched = iota // those of http(s)://, as files have been handed over by somebody already
	Nothing
	All
)

// NotStoreError says what a source is instead of a form of a store that is supported.
type NotStoreError struct {
	Source, Is string
}

func (e *NotStoreError) Error() string {
	return fmt.Sprintf("open store %q: it is %s", e.Source, e.Is)
}

// Open opens the stores that sources are, or this machine's if there are none, as one.
// The error wraps fs.ErrNotExist if there is nothing.
func Open(ctx context.Context, sources []string, o Options) (_ profile.Store, err error) {
	if len(sources) == 0 {
		sources = []string{""}
	}
	var infos []*profile.Info
	if o.References != "" {
		if infos, err = readReferences(o.References); err != nil {
			return nil, err
		}
	}
	var stores []profile.Store
	defer func() {
		if err != nil {
			for _, s := range stores {
				err = errors.Join(err, s.Close())
			}
		}
	}()
	stdin := false
	for _, from := range sources {
		if from == "-" && stdin {
			return nil, errors.New("open store: standard input cannot be read twice")
		}
		stdin = stdin || from == "-"
		s, err := recognise(ctx, from, o)
		if err != nil {
			return nil, err
		}
		if mustBeVouched(from, infos, o) {
			s = trust.Require(s, o.Keys)
		}
		stores = append(stores, s)
	}
	s := profile.Chain(stores...)
	if o.References != "" {
		s = references.Overlay(s, infos)
		if o.Vouched == All {
			s = trust.Require(s, o.Keys)
		}
	}
	return s, nil
}

// OnlyNix says whether a source is called as Nix calls stores that nobody else can read.
func OnlyNix(from string) bool {
	scheme, _, ok := strings.Cut(from, "://")
	return from == "daemon" || ok && slices.Contains([]string{"ssh", "ssh-ng", "s3", "unix", "local", "dummy", "auto"}, scheme)
}

// mustBeVouched says whether what a source says of its objects needs more than its word.
// Where a file of references has the hashes, it is that file's word that counts.
func mustBeVouched(from string, infos []*profile.Info, o Options) bool {
	hashed := o.References != "" && !slices.ContainsFunc(infos, func(i *profile.Info) bool { return !i.NarHash.Known() })
	switch o.Vouched {
	case All:
		return o.References == "" // or else what is made of both
	case Servers:
		return binarycache.IsURL(from) && !hashed
	}
	return false
}

// recognise opens one source, whatever it is.
func recognise(ctx context.Context, from string, o Options) (profile.Store, error) {
	switch {
	case from == "":
		return openRoot(ctx, "/", o)
	case from == "-":
		if o.Stdin == nil {
			return nil, fmt.Errorf("open store: standard input: %w", os.ErrInvalid)
		}
		return openFile(ctx, o.Stdin, o)
	case binarycache.IsURL(from):
		return openCache(ctx, from, o)
	}
	if path, ok := strings.CutPrefix(from, "file://"); ok { // as nix copy --to is told, with what it is to do there
		from, _, _ = strings.Cut(path, "?")
	}
	fi, err := os.Stat(from)
	if err != nil && OnlyNix(from) {
		return nil, &NotStoreError{from, "a store that only Nix can read"}
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if fi.IsDir() {
		return openDirectory(ctx, from, o)
	}
	f, err := os.Open(from)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s, err := openFile(ctx, f, o)
	if err != nil {
		f.Close()
	}
	return s, err
}

func openCache(ctx context.Context, from string, o Options) (profile.Store, error) {
	return binarycache.Open(ctx, from, binarycache.Options{
		SpoolDir: o.SpoolDir,
		Progress: o.Progress,
		CacheDir: o.NarInfoDir,
		Netrc:    o.Netrc,
		Proxy:    o.Proxy,
		Retrying: o.Retrying,
	})
}

func readReferences(name string) ([]*profile.Info, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read references: %w", err)
	}
	defer f.Close()
	infos, err := references.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("read references %q: %w", name, err)
	}
	return infos, nil
}

// localOptions are those of stores that are directories.
// A signature is of a hash, and says nothing of files that nobody has hashed.
func localOptions(o Options) localstore.Options {
	return localstore.Options{Verify: o.Verify || o.Vouched == All, Signatures: o.Vouched == All}
}
