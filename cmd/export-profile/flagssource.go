package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/source"
	"github.com/export-profile/export-profile/profile/trust"
)

// sources are the flags that say where stores are and what of them is believed.
type sources struct {
	from        []string
	references  string
	verify      bool
	trusted     []string
	noCheckSigs bool
	requireSigs bool
	netrc       string
}

func (o *sources) flags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&o.from, "from", nil, "read the store from `SOURCE`: a binary cache (a directory, or http(s)://…), "+
		"an export stream or a tar of a store (a file, or - for standard input; also compressed), "+
		"or a directory with nix/store in it; repeatable: the first that has a path gives it; default: this machine's store")
	fs.StringVar(&o.references, "references", "", "take hashes and references from `FILE` "+
		"(closureInfo's registration, nix-store --dump-db, nix path-info --json, .attrs.json), and check contents against them")
	fs.BoolVar(&o.verify, "verify-store", false, "check the NAR hashes of this machine's store, too")
	fs.StringArrayVar(&o.trusted, "trusted-public-key", nil, "believe what `KEY` has signed: name:base64, or a file of such keys; "+
		"repeatable; cache.nixos.org's is known")
	fs.BoolVar(&o.noCheckSigs, "no-check-sigs", false, "believe servers without signatures")
	fs.BoolVar(&o.requireSigs, "require-sigs", false, "believe files and this machine's store only with signatures, too")
	fs.StringVar(&o.netrc, "netrc", "", "logins for servers are in `FILE` (default ~/.netrc, if there is one)")
}

// open opens all sources as one store.
func (o *sources) open(ctx context.Context, t terminal, say *speaker, cache *cacheFlags) (profile.Store, error) {
	options := source.Options{
		Stdin:      t.in,
		References: o.references,
		Verify:     o.verify,
		Proxy:      http.ProxyFromEnvironment,
		Note:       func(text string) { say.notef("%s", text) },
		Retrying:   say.retrying,
	}
	for _, from := range o.from {
		if from == "-" && t.in != nil {
			if term.IsTerminal(int(t.in.Fd())) { // and /dev/null is none
				return nil, usagef("nix-store --export $(nix-store -qR PROFILE) | export-profile … --from -",
					"--from -: standard input is a terminal")
			}
		}
	}
	var err error
	if options.Keys, err = o.keys(); err != nil {
		return nil, err
	}
	switch {
	case o.noCheckSigs && o.requireSigs:
		return nil, usagef("", "--no-check-sigs and --require-sigs say the opposite")
	case o.noCheckSigs:
		options.Vouched = source.Nothing
	case o.requireSigs:
		options.Vouched = source.All
	}
	if options.Netrc = o.netrc; options.Netrc != "" {
		if _, err := os.Stat(o.netrc); err != nil {
			return nil, fmt.Errorf("read logins: %w", err)
		}
	} else {
		if home, err := os.UserHomeDir(); err == nil {
			if name := filepath.Join(home, ".netrc"); exists(name) {
				options.Netrc = name
			}
		}
	}
	options.SpoolDir, options.NarInfoDir = cache.spoolDir(), cache.narInfoDir()
	reading := say.progress("reading", 0)
	options.Progress = reading.add
	store, err := source.Open(ctx, o.from, options)
	reading.done()
	return store, o.hint(ctx, err)
}

// hint says what to do about a source that cannot be opened, where that is known from what it was called.
func (o *sources) hint(ctx context.Context, err error) error {
	if err == nil || hint(err) != "" {
		return err
	}
	for _, from := range o.from {
		switch {
		case source.OnlyNix(from):
			return withHint(err, "Nix can read it: nix-store --export $(nix-store -qR PROFILE) | export-profile … --from -")
		case exists(filepath.Join(from, ispec.ImageLayoutFile)):
			return hintFinished(err, layoutPrefix+from)
		case isImageArchive(ctx, from):
			return hintFinished(err, ociArchivePrefix+from)
		case slices.ContainsFunc(otherTransports, func(t string) bool { return strings.HasPrefix(from, t+":") || from == t }), isImageNearly(from):
			return withHint(err, "closure, why, ls, diff and sbom look into an image: %s", imageForms)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return withHint(err, "--from names what has the store: a file, a directory or https://…; `nix-store --export $(nix-store -qR PROFILE) > FILE` makes one")
	}
	return err
}

// keys are those that are trusted: the known ones, and those given as words or in files.
func (o *sources) keys() (trust.Keys, error) {
	keys, err := parseTrusted("--trusted-public-key", o.trusted)
	return append(trust.Default(), keys...), err
}

// parseTrusted parses public keys, each as a word or as the name of a file of them.
func parseTrusted(flag string, words []string) (keys trust.Keys, err error) {
	for _, word := range words {
		if key, err := trust.ParseKey(word); err == nil {
			keys = append(keys, key)
			continue
		} else if !exists(word) {
			return nil, usagef("as in "+flag+" example.com-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=, or the name of a file",
				flag+": %v", err)
		}
		more, err := readKeys(word)
		if err != nil {
			return nil, err
		}
		keys = append(keys, more...)
	}
	return keys, nil
}

func readKeys(name string) (trust.Keys, error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read trusted keys: %w", err)
	}
	if err != nil {
		return nil, err
	}
	keys, err := trust.ParseKeys(string(b))
	if err != nil {
		return nil, fmt.Errorf("read trusted keys %q: %w", name, err)
	}
	return keys, nil
}
