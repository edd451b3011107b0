package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/profile/sbom"
	"github.com/export-profile/export-profile/rootfs/base"
	"github.com/export-profile/export-profile/rootfs/overlay"
)

// closureFlags are the flags of all commands that look at a closure.
type closureFlags struct {
	sourceFlags
	cacheFlags
	profiles []string

	images *inspectFlags // nil if --from cannot name an image
}

func (f *closureFlags) flags(fs *pflag.FlagSet) {
	f.sourceFlags.flags(fs)
	fs.StringArrayVar(&f.profiles, "profile", nil, "use the profile `NAME`: a profile or result link, a store path or its base name; repeatable (default: this user's profile, or the only one in SOURCE)")
}

// assemblyFlags are the flags of all commands that look at a root filesystem.
type assemblyFlags struct {
	closureFlags
	overlayFlags
	metadataFlags
	noProfile bool
	bare      bool
	user      string
	users     []string
	groups    []string
	caFiles   []string
	nixDB     bool
	sbom      sbomInImage
	base      baseFlags
	workdir   string // absolute, or ""
}

func (f *assemblyFlags) flags(fs *pflag.FlagSet) {
	f.closureFlags.flags(fs)
	fs.StringVar(&f.user, "user", "", "run as `USER`: NAME:UID[:GID] adds an account and a home directory; or UID[:GID], or a NAME that the image's /etc/passwd has")
	fs.StringArrayVar(&f.users, "add-user", nil, "`NAME:UID[:GID][:HOME[:SHELL]]` add a user; repeatable")
	fs.StringArrayVar(&f.groups, "add-group", nil, "`NAME:GID[:MEMBER,…]` add a group; repeatable")
	f.overlayFlags.flags(fs)
	fs.StringArrayVar(&f.caFiles, "ca-file", nil, "let programs in the image trust the PEM certificates in `FILE`, too; repeatable")
	fs.BoolVar(&f.noProfile, "no-profile", false, "make it of added files alone, without a profile or a store")
	fs.BoolVar(&f.bare, "bare", false, "add only the files that the original script makes: no /tmp, accounts or certificate links")
	fs.BoolVar(&f.nixDB, "with-nix-db", false, "add Nix's database of the store paths, so that Nix works in the image; for /gnu/store, Guix's")
	f.sbom.flags(fs)
	f.metadataFlags.flags(fs)
	f.closureFlags.cacheFlags.flags(fs)
}

// assemblyOptions holds the parsed assemblyFlags.
type assemblyOptions struct {
	baseFiles base.Options
	user      base.User
	byName    bool // the image's /etc/passwd has the user's numbers
	changes   overlay.Options
	sbom      sbom.Format // of the SBOM in the image, or ""
	metadata  sbom.Metadata
}

// parse checks the flags and reads the files that they name, before a run starts anything that takes long.
func (f *assemblyFlags) parse() (w assemblyOptions, err error) {
	if err := f.checkNoProfile(); err != nil {
		return w, err
	}
	if f.user != "" {
		if w.user, w.byName, err = base.ParseUser(f.user); err != nil {
			return w, usagef("as in --user app:1000", "--user: %v", err)
		}
	}
	if w.baseFiles, err = f.baseOptions(); err != nil {
		return w, err
	}
	if _, err := base.FindUser(w.user.Name, nil); !w.byName || err == nil { // others have no numbers yet, and add no files
		w.baseFiles.User = w.user
	}
	if w.changes, err = f.overlayFlags.options(); err != nil {
		return w, err
	}
	if f.nixDB && f.base.name != "" {
		return w, usagef("", "--with-nix-db does not know the store paths of --base")
	}
	if w.sbom, err = f.sbom.format(); err != nil {
		return w, err
	}
	if w.metadata, err = f.metadataFlags.read(); err != nil {
		return w, err
	}
	if readsStdin(w.changes) && slices.Contains(f.from, standardName) {
		return w, usagef("", "--add - and --from - both read standard input")
	}
	return w, nil
}

func (f *assemblyFlags) baseOptions() (o base.Options, err error) {
	o.Bare = f.bare
	for _, word := range f.users {
		account, err := base.ParseAccount(word)
		if err != nil {
			return o, usagef("", "--add-user: %v", err)
		}
		o.Users = append(o.Users, account)
	}
	for _, word := range f.groups {
		group, err := base.ParseGroup(word)
		if err != nil {
			return o, usagef("", "--add-group: %v", err)
		}
		o.Groups = append(o.Groups, group)
	}
	if f.bare && len(o.Users)+len(o.Groups) > 0 {
		return o, usagef("", "--add-user and --add-group change files, but --bare makes only those of the script")
	}
	if f.bare && len(f.caFiles) > 0 {
		return o, usagef("", "--ca-file adds a file, but --bare makes only those of the script")
	}
	if f.bare && f.nixDB {
		return o, usagef("", "--with-nix-db adds files, but --bare makes only those of the script")
	}
	if f.bare && f.sbom.word != "" {
		return o, usagef("", "--sbom-in-image adds a file, but --bare makes only those of the script")
	}
	for _, name := range f.caFiles {
		b, err := os.ReadFile(name)
		if err == nil {
			err = base.CheckCertificates(b)
		}
		if err != nil {
			return o, fmt.Errorf("read certificates %q: %w", name, err)
		}
		o.CAFiles = append(o.CAFiles, b)
	}
	return o, nil
}
