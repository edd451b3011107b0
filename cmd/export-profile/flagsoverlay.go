package main

import (
	"errors"
	"slices"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/rootfs/overlay"
)

// overlayFlags are the changes on top of the profile.
type overlayFlags struct {
	changeFlags
	owners, modes     []string
	allowStoreChanges bool
}

func (f *overlayFlags) flags(fs *pflag.FlagSet) {
	f.changeFlags.flags(fs)
	fs.StringArrayVar(&f.owners, "owner", nil, "set the owner of matching files: `GLOB=UID[:GID]`, such as /srv/**=33; repeatable, the last match wins")
	fs.StringArrayVar(&f.modes, "mode", nil, "set the mode of matching files: `GLOB=MODE`, such as /etc/app/*=0640; repeatable, the last match wins")
	fs.BoolVar(&f.allowStoreChanges, "allow-store-changes", false, "let these flags change store objects, which then no longer match their hashes")
}

// options parses the flags. It reports all errors at once.
func (f *overlayFlags) options() (o overlay.Options, err error) {
	o.AllowStoreChanges = f.allowStoreChanges
	var wrong []error
	say := func(flag string, err error) {
		if err != nil {
			wrong = append(wrong, usagef("", "--%s: %v", flag, err))
		}
	}
	parse := map[string]func(string) (overlay.Change, error){
		"add": overlay.ParseAdd, "mkdir": overlay.ParseMkdir, "symlink": overlay.ParseSymlink, "whiteout": overlay.ParseWhiteout,
	}
	var layer []overlay.Change
	for _, c := range f.changes {
		if c.kind == "layer" {
			if len(layer) > 0 {
				o.Layers = append(o.Layers, layer)
			}
			layer = nil
			continue
		}
		change, err := parse[c.kind](c.word)
		say(c.kind, err)
		layer = append(layer, change)
	}
	if len(layer) > 0 {
		o.Layers = append(o.Layers, layer)
	}
	for _, word := range f.owners {
		rule, err := overlay.ParseOwner(word)
		say("owner", err)
		o.Rules = append(o.Rules, rule)
	}
	for _, word := range f.modes {
		rule, err := overlay.ParseMode(word)
		say("mode", err)
		o.Rules = append(o.Rules, rule)
	}
	return o, errors.Join(wrong...)
}

// readsStdin says whether a change reads standard input.
func readsStdin(o overlay.Options) bool {
	for _, layer := range o.Layers {
		if slices.ContainsFunc(layer, func(c overlay.Change) bool { return c.Word == overlay.Add && c.Source == overlay.Standard }) {
			return true
		}
	}
	return false
}
