package main

import (
	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nixdb"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/base"
)

// makeBaseFiles makes the files beside the store, and finds the architecture of the profiles' programs.
func (a *assembly) makeBaseFiles(all *assembled, view *rootfs.View, o base.Options, say *speaker) (err error) {
	o.Profiles = all.closure.Profiles()
	o.Lower = all.under.lower()
	if all.base, err = base.New(view, o); err != nil {
		return err
	}
	if a.nixDB {
		if err := addNixDB(all.base, all.closure); err != nil {
			return err
		}
	}
	for _, note := range all.base.Notes {
		say.notef("%s", note)
	}
	arch, err := all.base.Architecture()
	all.arch = all.under.architecture(arch)
	return err
}

// addNixDB adds the database that Nix keeps beside its store.
func addNixDB(files *base.Files, closure *profile.Closure) error {
	database, err := nixdb.Files(closure)
	if err == nil {
		files.Part, err = base.Extend(files.Part, database)
	}
	return err
}
