package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/source"
)

// open opens all sources as one store.
func (f *sourceFlags) open(ctx context.Context, t terminal, say *speaker, cache *cacheFlags) (profile.Store, error) {
	options := source.Options{
		Stdin:      t.in,
		References: f.references,
		Verify:     f.verify,
		Proxy:      http.ProxyFromEnvironment,
		Note:       func(text string) { say.notef("%s", text) },
		Retrying:   say.retrying,
		Skipped:    say.skipping,
		Opened:     func(from string, form source.Form) { f.opened = append(f.opened, openedSource{from, form}) },
	}
	for _, from := range f.from {
		if from == "-" && t.in != nil {
			if term.IsTerminal(int(t.in.Fd())) { // /dev/null is no terminal
				return nil, usagef("nix-store --export $(nix-store -qR PROFILE) | export-profile … --from -, or guix archive --export -r PROFILE | …",
					"--from -: standard input is a terminal")
			}
		}
	}
	var err error
	if options.Keys, err = f.keys(); err != nil {
		return nil, err
	}
	if options.StoreDir, err = f.dir(); err != nil {
		return nil, err
	}
	switch {
	case f.noCheckSigs && f.requireSigs:
		return nil, inChapter("trust", usagef("", "--no-check-sigs and --require-sigs say the opposite"))
	case f.noCheckSigs:
		options.Vouched = source.Nothing
	case f.requireSigs:
		options.Vouched = source.All
	}
	if options.Netrc = f.netrc; options.Netrc != "" {
		if _, err := os.Stat(f.netrc); err != nil {
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
	store, err := source.Open(ctx, f.from, options)
	reading.done()
	return store, f.hintOpen(ctx, err)
}
