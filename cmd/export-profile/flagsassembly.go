package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/rootfs/base"
	"github.com/export-profile/export-profile/rootfs/overlay"
)

// selection holds the flags of all commands that look at a closure.
type selection struct {
	sources
	cacheFlags
	profiles []string

	images *imageFlags // nil if --from cannot name an image
}

func (s *selection) flags(fs *pflag.FlagSet) {
	s.sources.flags(fs)
	fs.StringArrayVar(&s.profiles, "profile", nil, "use the profile `NAME`: a profile or result link, a store path or its base name; repeatable (default: this user's profile, or the only one in SOURCE)")
}

// assembly holds the flags of all commands that look at a root filesystem.
type assembly struct {
	selection
	overlayFlags
	bare    bool
	user    string
	users   []string
	groups  []string
	caFiles []string
	nixDB   bool
	under   baseFlags
}

func (a *assembly) flags(fs *pflag.FlagSet) {
	a.selection.flags(fs)
	fs.StringVar(&a.user, "user", "", "run as `USER`: NAME:UID[:GID] adds an account and a home directory; or UID[:GID], root or nobody")
	fs.StringArrayVar(&a.users, "add-user", nil, "add `ACCOUNT`: NAME:UID[:GID][:HOME[:SHELL]]; repeatable")
	fs.StringArrayVar(&a.groups, "add-group", nil, "add `GROUP`: NAME:GID[:MEMBER,…]; repeatable")
	a.overlayFlags.flags(fs)
	fs.StringArrayVar(&a.caFiles, "ca-file", nil, "have programs in the image trust the PEM certificates in `FILE`, too; repeatable")
	fs.BoolVar(&a.bare, "bare", false, "add only the files that the original script makes: no /tmp, accounts or certificate links")
	fs.BoolVar(&a.nixDB, "with-nix-db", false, "add Nix's database of the store paths, so that Nix works in the image")
	a.selection.cacheFlags.flags(fs)
}

// wanted holds the parsed flags of an assembly.
type wanted struct {
	base    base.Options
	user    base.User
	changes overlay.Options
}

// parse checks the flags and reads the files that they name, before a run starts anything that takes long.
func (a *assembly) parse() (w wanted, err error) {
	if w.base, w.user, err = a.baseOptions(); err != nil {
		return w, err
	}
	if w.changes, err = a.overlayFlags.options(); err != nil {
		return w, err
	}
	if a.nixDB && a.under.name != "" {
		return w, usagef("", "--with-nix-db does not know the store paths of --base")
	}
	if readsStdin(w.changes) && slices.Contains(a.from, standardName) {
		return w, usagef("", "--add - and --from - both read standard input")
	}
	return w, nil
}

func (a *assembly) baseOptions() (o base.Options, user base.User, err error) {
	o.Bare = a.bare
	if a.user != "" {
		if user, err = base.ParseUser(a.user); err != nil {
			return o, user, usagef("as in --user app:1000", "--user: %v", err)
		}
		o.User = user
	}
	for _, word := range a.users {
		account, err := base.ParseAccount(word)
		if err != nil {
			return o, user, usagef("", "--add-user: %v", err)
		}
		o.Users = append(o.Users, account)
	}
	for _, word := range a.groups {
		group, err := base.ParseGroup(word)
		if err != nil {
			return o, user, usagef("", "--add-group: %v", err)
		}
		o.Groups = append(o.Groups, group)
	}
	if a.bare && len(o.Users)+len(o.Groups) > 0 {
		return o, user, usagef("", "--add-user and --add-group change files, but --bare makes only those of the script")
	}
	if a.bare && len(a.caFiles) > 0 {
		return o, user, usagef("", "--ca-file adds a file, but --bare makes only those of the script")
	}
	if a.bare && a.nixDB {
		return o, user, usagef("", "--with-nix-db adds files, but --bare makes only those of the script")
	}
	for _, name := range a.caFiles {
		b, err := os.ReadFile(name)
		if err == nil {
			err = base.CheckCertificates(b)
		}
		if err != nil {
			return o, user, fmt.Errorf("read certificates %q: %w", name, err)
		}
		o.CAFiles = append(o.CAFiles, b)
	}
	return o, user, nil
}
