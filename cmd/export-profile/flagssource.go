package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/trust"
	"github.com/export-profile/export-profile/rootfs"
)

// sourceFlags locate stores and say which ones to trust.
type sourceFlags struct {
	from        []string
	references  string
	storeDir    string
	verify      bool
	trusted     []string
	noCheckSigs bool
	requireSigs bool
	netrc       string

	opened []openedSource // by open
}

func (f *sourceFlags) flags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.from, "from", nil, "read the store from `SOURCE`: a binary cache (a directory, or http(s)://…), "+
		"an export stream or a tar of a store (a file, or - for standard input; also compressed), "+
		"or a directory with nix/store in it; repeatable: the first that has a store path provides it (default: this machine's store)")
	fs.StringVar(&f.references, "references", "", "take hashes and references from `FILE` "+
		"(closureInfo's directory or registration, nix-store --dump-db, nix path-info --json or .attrs.json), and check contents against them")
	fs.StringVar(&f.storeDir, "store-dir", "", "read a store whose store paths begin with `DIR`, such as /gnu/store (default: what the sources say, or /nix/store)")
	fs.BoolVar(&f.verify, "verify-store", false, "also check the NAR hashes of this machine's store")
	fs.StringArrayVar(&f.trusted, "trusted-public-key", nil, "trust what `KEY` has signed: name:base64, or a file of such keys, or a file of Guix keys (signing-key.pub, acl); "+
		"repeatable; the key of cache.nixos.org is built in")
	fs.BoolVar(&f.noCheckSigs, "no-check-sigs", false, "trust servers without signatures")
	fs.BoolVar(&f.requireSigs, "require-sigs", false, "require signatures from files and from this machine's store, too")
	fs.StringVar(&f.netrc, "netrc", "", "read logins for servers from `FILE` (default ~/.netrc, if it exists)")
}

// dir returns the store directory that the user named, or nil.
func (f *sourceFlags) dir() (*profile.StoreDir, error) {
	if f.storeDir == "" {
		return nil, nil
	}
	dir, err := rootfs.ParseStoreDir(f.storeDir)
	if err != nil {
		return nil, usagef("as in --store-dir /gnu/store", "--store-dir: %v", err)
	}
	return &dir, nil
}

// keys returns the trusted keys: the default one, and those of the flags.
func (f *sourceFlags) keys() (trust.Keys, error) {
	keys, err := parseTrusted("--trusted-public-key", f.trusted)
	return append(trust.Default(), keys...), err
}

// parseTrusted parses public keys. Each word is a key or a file of keys.
func parseTrusted(flag string, words []string) (keys trust.Keys, err error) {
	for _, word := range words {
		if key, err := trust.ParseKey(word); err == nil {
			keys = append(keys, key)
			continue
		} else if !exists(word) {
			if !strings.Contains(word, ":") {
				err = errors.New("public key: neither the name of a file nor of the form name:base64")
			}
			return nil, usagef("as in "+flag+" example.com-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=, or the name of a file",
				flag+": %v", err)
		}
		more, err := readKeys(word)
		if err != nil {
			return nil, err
		}
		if flag != "--trusted-public-key" && slices.ContainsFunc(more, func(k trust.Key) bool { return k.Guix != nil }) {
			return nil, usagef("make one with nix-store --generate-binary-cache-key NAME SECRET-FILE PUBLIC-FILE", "%s: %q has a key of Guix, not of Nix", flag, word)
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
