package main

import (
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/rootfs"
)

// selection is what all commands have in common that look at a store: from a source to a closure.
type selection struct {
	sources
	cacheFlags
	profiles []string

	images *imageFlags // nil where --from cannot be a finished image
}

func (s *selection) flags(fs *pflag.FlagSet) {
	s.sources.flags(fs)
	fs.StringArrayVar(&s.profiles, "profile", nil, "use the profile `NAME`: a profile or result link, a store path or its base name; repeatable (default: this user's profile, or the only one in SOURCE)")
}

// assembly is what rootfs and image have in common: from a source to all parts of a root filesystem.
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

// options reads what the flags name before anything long is begun.
func (a *assembly) options() (o rootfs.Options, user rootfs.User, err error) {
	o.Bare = a.bare
	if a.user != "" {
		if user, err = rootfs.ParseUser(a.user); err != nil {
			return o, user, usagef("as in --user app:1000", "--user: %v", err)
		}
		o.User = user
	}
	for _, word := range a.users {
		account, err := rootfs.ParseAccount(word)
		if err != nil {
			return o, user, usagef("", "--add-user: %v", err)
		}
		o.Users = append(o.Users, account)
	}
	for _, word := range a.groups {
		group, err := rootfs.ParseGroup(word)
		if err != nil {
			return o, user, usagef("", "--add-group: %v", err)
		}
		o.Groups = append(o.Groups, group)
	}
	if a.bare && len(o.Users)+len(o.Groups) > 0 {
		return o, user, usagef("", "--add-user and --add-group change files, and with --bare there are none but the script's")
	}
	if a.bare && len(a.caFiles) > 0 {
		return o, user, usagef("", "--ca-file adds a file, and with --bare there are none but the script's")
	}
	if a.bare && a.nixDB {
		return o, user, usagef("", "--with-nix-db adds files, and with --bare there are none but the script's")
	}
	for _, name := range a.caFiles {
		b, err := os.ReadFile(name)
		if err == nil {
			err = rootfs.CheckCertificates(b)
		}
		if err != nil {
			return o, user, fmt.Errorf("read certificates %q: %w", name, err)
		}
		o.CAFiles = append(o.CAFiles, b)
	}
	return o, user, nil
}
