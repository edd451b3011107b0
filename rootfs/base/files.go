// Package base makes the base files of an image: all files besides its store objects.
//
// They are the link /run/profile, the files of the profile's etc, /bin/sh and /usr/bin/env,
// the directories, accounts ([User], [Account], [Group]) and certificates that programs expect,
// and the environment variables that go with them.
// [New] makes them for one or more profiles of a [rootfs.View], also over the files of a base image;
// the rules are with New. [Extend] adds entries to them.
//
// # Guix
//
// In /gnu/store the base files follow Guix where it differs from Nix:
//
//   - PATH also has those directories sbin that profiles have.
//   - The certificates are in etc/ssl/certs/ca-certificates.crt of a profile, which Guix makes if there is a package with certificates.
//     If a profile has only the files of such a package, New joins them. SSL_CERT_FILE and SSL_CERT_DIR name them in the image's /etc.
//   - Packages find much by search paths. New sets the variables in etc/profile of each profile, as images of guix pack have them.
//     A variable that names the profile's certificates names the image's instead.
//   - GUIX_LOCPATH names the locales in lib/locale, whether etc/profile sets it or not.
//   - GUIX_PROFILE is not set, and guix pack does not set it either. So /etc/profile, which shells read, names the profile's store path.
//   - A profile's etc/ld.so.cache is left out: it is that of one package, and not for the loader of a base image.
//
// The result is a [rootfs.Part] with an empty root. Its key is a hash of its entries.
// New remembers it in the view's facts, by the options and the keys of all parts of the view,
// so that the next run with the same closure reads no object.
package base

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/export-profile/export-profile/rootfs"
)

// Options are the options of [New].
type Options struct {
	// Profiles are the roots of the profiles, "nix/store/<hash>-<name>". If two have the same file, the first wins.
	// Without any, there is no store directory and no /run/profile.
	Profiles []string
	// Bare makes only the files that the original export-profile script makes.
	Bare bool
	// User is the image's user. If it has a name, it gets an account and a home.
	User User
	// Users and Groups get accounts as well, each name once. They are an error with Bare.
	// One of the Users may be User with another home or shell.
	Users  []Account
	Groups []Group
	// CAFiles are PEM files with certificates to trust besides those of the profile.
	CAFiles [][]byte
	// Lower, if not nil, is the base image that the files are laid over.
	Lower *rootfs.Lower
}

// Files is the result of [New]: the base files as a part, and what belongs in the image's config.
type Files struct {
	rootfs.Part
	Env []string // NAME=VALUE: PATH, and the place of the certificates
	// DefaultEnv are variables about files of the base image. Variables that the base image sets itself take precedence.
	DefaultEnv []string
	Notes      []string // a line for each file that was left out, overridden or is missing
	// Architectures are those of the profiles, in their order; see [rootfs.View.Architecture].
	Architectures []string

	store    rootfs.StoreDir
	profiles []string // Options.Profiles
}

// New makes the base files of an image.
//
// With Options.Bare it makes the files that the original script makes, which is the same as
//
//	cp -R -Ls P run/profile; cp -R -Ls P/etc etc
//
// and links bin/sh and usr/bin/env to the profile's programs, if those are executable.
//
// Otherwise run/profile is one link to the profile, so that a release does not change thousands of links.
// For several profiles it is a merged tree of links.
// New adds the directories, accounts and certificates that programs expect.
// Without a profile, these are all that it makes, and PATH is the usual one.
// It overwrites no file of a profile, with two exceptions: Options.CAFiles are appended to its certificates,
// and accounts to its etc/passwd and etc/group.
//
// With Options.Lower, New follows the base image's links to directories,
// and the base image's directories keep their owner and mode.
// A profile's files replace the base image's, with a note.
// All other files are made only if the base image lacks them, but accounts are appended to its own.
// No file lands in a store object.
//
// The part's key is a hash of its entries.
func New(v *rootfs.View, o Options) (*Files, error) {
	if o.Bare && len(o.Users)+len(o.Groups) > 0 {
		return nil, errors.New("base files: accounts cannot be added to bare files")
	}
	key := factKey(v, o)
	if f := decodeBase(v.Facts().Load("base", key), v.StoreDir(), o); f != nil {
		return f, nil
	}
	b := newBuilder(v, mirrors(o)...)
	b.lower = o.Lower
	f := &Files{store: v.StoreDir(), profiles: o.Profiles}
	if err := b.make(o, f); err != nil {
		return nil, fmt.Errorf("base files: %w", err)
	}
	f.Part = b.part(o.Profiles)
	f.Notes = b.notes
	v.Facts().Keep("base", key, encodeBase(b, f))
	return f, nil
}

// mirrors returns the directories into which trees of links go.
func mirrors(o Options) []rootfs.Mirror {
	var all []rootfs.Mirror
	for _, p := range o.Profiles {
		all = append(all, rootfs.Mirror{Dst: runProfile, Src: p}, rootfs.Mirror{Dst: "etc", Src: p + "/etc"})
	}
	return all
}

func (b *builder) make(o Options, f *Files) error {
	// Every layer has the store directory and those above it, so that no unpacker chooses their mode.
	if err := b.checkLowerStore(); err != nil {
		return err
	}
	for _, a := range o.Users {
		if b.store.Holds(a.Home[1:]) {
			return fmt.Errorf("user %q: a home cannot be in the store", a.Name)
		}
	}
	if len(o.Profiles) > 0 {
		b.makeDir(b.store.Root(), 0o755)
	}

	asTree := o.Bare || len(o.Profiles) != 1
	b.listAhead(o.Profiles, asTree)
	if asTree {
		for _, p := range o.Profiles {
			if err := b.linkTree(p, runProfile); err != nil {
				return err
			}
		}
	} else {
		b.putOver(rootfs.Link(runProfile, "/"+o.Profiles[0]))
	}
	for _, p := range o.Profiles {
		if err := b.linkTree(p+"/etc", "etc"); err != nil {
			return err
		}
	}
	if err := b.linkPrograms(o.Profiles); err != nil {
		return err
	}
	b.noteIDs(o)
	if !o.Bare {
		b.makeSkeleton()
		if err := b.makeAccounts(o); err != nil {
			return err
		}
		if err := b.makeCertificates(o); err != nil {
			return err
		}
	}

	if err := b.makeEnv(o, f); err != nil {
		return err
	}
	for _, p := range o.Profiles {
		arch, err := b.view.Architecture(p)
		if err != nil {
			return err
		}
		f.Architectures = append(f.Architectures, arch)
	}
	return b.err
}

// listAhead lists the parts that make will ask for.
func (b *builder) listAhead(profiles []string, whole bool) {
	var paths []string
	for _, p := range profiles {
		if whole {
			paths = append(paths, p)
		} else {
			paths = append(paths, p+"/etc", p+"/bin")
			if b.store.IsGuix() {
				paths = append(paths, p+"/sbin", p+"/lib")
			}
		}
	}
	b.view.ListAhead(paths...)
}

// linkPrograms links to the two programs that scripts name by their paths.
func (b *builder) linkPrograms(profiles []string) error {
	for _, l := range []struct{ place, program string }{
		{"bin/sh", "bin/sh"},
		{"usr/bin/env", "bin/env"},
	} {
		for _, p := range profiles {
			e, err := b.view.Stat(p + "/" + l.program)
			if leadsNowhere(err) {
				continue
			}
			if err != nil {
				return err
			}
			if e.IsRegular() && e.Mode&0o111 != 0 {
				b.put(rootfs.Link(l.place, "/"+p+"/"+l.program))
				break
			}
		}
	}
	return nil
}

// makeSkeleton makes the directories that programs expect.
func (b *builder) makeSkeleton() {
	for _, d := range []struct {
		path string
		mode fs.FileMode
	}{
		{"tmp", fs.ModeSticky | 0o777},
		{"var/tmp", fs.ModeSticky | 0o777},
		{"var/empty", 0o555},
		{"root", 0o700},
	} {
		if !b.inLower(d.path) {
			b.makeDir(d.path, d.mode)
		}
	}
}

// leadsNowhere reports whether err says that a path leads nowhere, or out of the View.
func leadsNowhere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, rootfs.ErrOutside)
}
