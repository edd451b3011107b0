// Package base makes the base files of an image: all files besides its store objects.
//
// They are the link /run/profile, the files of the profile's etc, /bin/sh and /usr/bin/env,
// the directories, accounts ([User], [Account], [Group]) and certificates that programs expect,
// and the environment variables that go with them.
// [New] makes them for one or more profiles of a [rootfs.View], also over the files of a base image;
// the rules are with New. [Extend] adds entries to them.
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

// Options say which files an image has besides its store.
type Options struct {
	// Profiles are the roots of the profiles, "nix/store/<hash>-<name>", at least one.
	// Where two bring the same file, the first wins.
	Profiles []string
	// Bare leaves out everything that the original export-profile script does not make.
	Bare bool
	// User, if its name is not empty, gets an account and a home.
	User User
	// Users and Groups get accounts, too, each name once. One of the Users may be User with another home or shell.
	// Bare leaves none of them out, since it is an error with them.
	Users  []Account
	Groups []Group
	// CAFiles are PEM files whose certificates are trusted besides those of the profile.
	CAFiles [][]byte
	// Lower, if not nil, is the image that the files are laid over.
	Lower *rootfs.Lower
}

// Files are the files of an image besides its store, and what a process needs to know to use them.
type Files struct {
	rootfs.Part
	Env []string // NAME=VALUE: PATH, and where certificates are
	// DefaultEnv are variables about files of the image below. Whatever that sets itself is better.
	DefaultEnv []string
	Notes      []string // what was left out, overridden or is missing, a line each
	// Architectures are those of the profiles, in their order; see [View.Architecture].
	Architectures []string

	profiles []string // Options.Profiles
}

// Base makes the files of an image besides its store.
//
// With Options.Bare it makes what the script makes, which is the same as
//
//	cp -R -Ls P run/profile; cp -R -Ls P/etc etc
//
// and links from bin/sh and usr/bin/env to the profile's, where those are executable.
// Otherwise run/profile is one link to the profile (of several, a merged tree of links),
// so that a release does not change thousands of them,
// and there are the directories, accounts and certificates that programs expect.
// What a profile brings is never overwritten, except its certificates by Options.CAFiles,
// and its etc/passwd and etc/group by themselves with the accounts of Options appended.
//
// With Options.Lower, links to directories that the image below has are followed,
// and directories that it has keep their owner and mode. A profile's files take the place of the image's,
// with a note; nothing else does: accounts are appended to the image's own,
// and what is made up is made only where the image has nothing. No file of the part is in a store object.
//
// The part's key is a hash of all that is in it.
func New(v *rootfs.View, o Options) (*Files, error) {
	if len(o.Profiles) == 0 {
		return nil, errors.New("base files: no profile")
	}
	if o.Bare && len(o.Users)+len(o.Groups) > 0 {
		return nil, errors.New("base files: accounts to add, and bare files have none")
	}
	key := factKey(v, o)
	if f := decodeBase(v.Facts().Load("base", key), o); f != nil {
		return f, nil
	}
	b := newBuilder(v, mirrors(o)...)
	b.lower = o.Lower
	f := &Files{profiles: o.Profiles}
	if err := b.base(o, f); err != nil {
		return nil, fmt.Errorf("base files: %w", err)
	}
	f.Part = b.part(o.Profiles)
	f.Notes = b.notes
	v.Facts().Keep("base", key, encodeBase(b, f))
	return f, nil
}

// mirrors are where trees of links are made.
func mirrors(o Options) []rootfs.Mirror {
	var all []rootfs.Mirror
	for _, p := range o.Profiles {
		all = append(all, rootfs.Mirror{Dst: runProfile, Src: p}, rootfs.Mirror{Dst: "etc", Src: p + "/etc"})
	}
	return all
}

func (b *builder) base(o Options, f *Files) error {
	// Every layer has these, so that no unpacker makes up a mode for them.
	if err := b.storeBelow(); err != nil {
		return err
	}
	b.dir(rootfs.StoreDir, 0o755)

	if o.Bare || len(o.Profiles) > 1 {
		for _, p := range o.Profiles {
			if err := b.linkTree(p, runProfile); err != nil {
				return err
			}
		}
	} else {
		b.over(rootfs.Link(runProfile, "/"+o.Profiles[0]))
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
		b.skeleton()
		if err := b.accounts(o); err != nil {
			return err
		}
		if err := b.certificates(o.CAFiles); err != nil {
			return err
		}
	}

	path := "PATH=/run/profile/bin"
	for _, p := range o.Profiles {
		path += ":/" + p + "/bin" // survives a mount over /run
	}
	f.Env = []string{path}
	if b.has(caBundle) {
		f.Env = append(f.Env, "NIX_SSL_CERT_FILE=/"+caBundle, "SSL_CERT_FILE=/"+caBundle)
	} else if bundle := b.bundleBelow(); bundle != "" {
		f.DefaultEnv = []string{"NIX_SSL_CERT_FILE=/" + bundle, "SSL_CERT_FILE=/" + bundle}
	} else {
		b.note("no CA certificates: the profile has no %s", caBundle)
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

// linkPrograms makes the two programs whose places are known to every script.
func (b *builder) linkPrograms(profiles []string) error {
	for _, l := range []struct{ place, program string }{
		{"bin/sh", "bin/sh"},
		{"usr/bin/env", "bin/env"},
	} {
		for _, p := range profiles {
			e, err := b.view.Stat(p + "/" + l.program)
			if missing(err) {
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

// skeleton makes the directories that programs take for granted.
func (b *builder) skeleton() {
	for _, d := range []struct {
		path string
		mode fs.FileMode
	}{
		{"tmp", fs.ModeSticky | 0o777},
		{"var/tmp", fs.ModeSticky | 0o777},
		{"var/empty", 0o555},
		{"root", 0o700},
	} {
		if !b.below(d.path) {
			b.dir(d.path, d.mode)
		}
	}
}

// missing reports whether a path leads nowhere in a View, or out of what it shows.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, rootfs.ErrOutside)
}
