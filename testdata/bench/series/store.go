package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/rootfs"
)

// universe holds the packages of a closure, with all their files.
type universe struct {
	packages []*pkg // in path order
	roots    []int  // what the profile refers to
}

// pkg is a store object as it is in the store.
type pkg struct {
	base    string // name of the store object
	refs    []int  // without itself, sorted
	narSize int64
	files   []file
}

func (p *pkg) digest() string { return p.base[:digestLen] }

// name returns the name without the digest, with the version.
func (p *pkg) name() string { return p.base[digestLen+1:] }

// digestLen is the number of digits in front of a store object's name.
const digestLen = 32

// file is an entry of a store object. Its path is relative to the object's root.
type file struct {
	entry    rootfs.Entry
	content  []byte
	mentions []mention // in content, in order
}

// mention is a place in a file that names a store object.
type mention struct{ at, pkg int }

// readUniverse reads the closure of a profile from the store of this machine into memory.
func readUniverse(ctx context.Context, profileLink string) (_ *universe, err error) {
	target, err := filepath.EvalSymlinks(profileLink)
	if err != nil {
		return nil, err
	}
	top, err := profile.ParsePath(target)
	if err != nil {
		return nil, err
	}
	store, err := localstore.Open(ctx, "/", localstore.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	info, err := store.Info(ctx, top)
	if err != nil {
		return nil, err
	}
	roots := slices.DeleteFunc(slices.Clone(info.References), func(p profile.Path) bool {
		return p == top || strings.HasSuffix(p.Base(), "-env-manifest.nix")
	})
	closure, err := profile.FindClosure(ctx, store, roots...)
	if err != nil {
		return nil, err
	}
	u := &universe{}
	at := make(map[string]int)
	for i, info := range closure.Infos {
		at[info.Path.Base()] = i
		u.packages = append(u.packages, &pkg{base: info.Path.Base(), narSize: info.NarSize})
	}
	for i, info := range closure.Infos {
		for _, r := range info.References {
			if n := at[r.Base()]; n != i {
				u.packages[i].refs = append(u.packages[i].refs, n)
			}
		}
	}
	for i, part := range closure.Parts(ctx) {
		if u.packages[i].files, err = readFiles(part); err != nil {
			return nil, fmt.Errorf("read %q: %w", part.Name, err)
		}
	}
	for _, r := range roots {
		u.roots = append(u.roots, at[r.Base()])
	}
	slices.Sort(u.roots)
	u.findMentions()
	return u, nil
}

func readFiles(part rootfs.Part) (files []file, err error) {
	for e, err := range part.Tree {
		if err != nil {
			return nil, err
		}
		f := file{entry: e}
		f.entry.Path = strings.TrimPrefix(e.Path, part.Root)
		f.entry.Open = nil
		if e.IsRegular() {
			r, err := e.Open()
			if err != nil {
				return nil, err
			}
			f.content, err = io.ReadAll(r)
			if err := errors.Join(err, r.Close()); err != nil {
				return nil, err
			}
		}
		files = append(files, f)
	}
	return files, nil
}

// findMentions finds the digests of packages in all files.
func (u *universe) findMentions() {
	byDigest := make(map[string]int, len(u.packages))
	for i, p := range u.packages {
		byDigest[p.digest()] = i
	}
	for _, p := range u.packages {
		for i := range p.files {
			f := &p.files[i]
			f.mentions = mentionsIn(f.content, byDigest)
		}
	}
}

// mentionsIn returns the places of known digests that follow a slash and precede a dash.
func mentionsIn(b []byte, byDigest map[string]int) (found []mention) {
	const longest = digestLen + 1
	for at := 0; ; {
		n := bytes.IndexByte(b[at:], '/')
		if n < 0 || at+n+1+longest > len(b) {
			return found
		}
		at += n + 1
		if b[at+digestLen] != '-' {
			continue
		}
		if i, ok := byDigest[string(b[at:at+digestLen])]; ok {
			found = append(found, mention{at, i})
			at += digestLen
		}
	}
}

// storeRoot is the store directory of all releases, relative to the root of the file system.
const storeRoot = "nix/store"
