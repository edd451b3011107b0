package main

import (
	"io/fs"
	"strconv"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/base"
	"github.com/export-profile/export-profile/rootfs/overlay"
)

// makeWorkdir makes the directory of --workdir for the image's user, unless it exists:
// container runtimes would make it for root. The directory goes into the base files.
// If there are changes, one of them may make it, so it comes after all of them.
func (f *assemblyFlags) makeWorkdir(a *assembly, view *rootfs.View, want *assemblyOptions, say *speaker) error {
	if f.workdir == "" || f.bare {
		return nil
	}
	uid, gid := f.workdirOwner(a, view, *want, say)
	if len(want.changes.Layers) == 0 {
		return a.baseFiles.MakeDir(view, a.baseImage.lower(), f.workdir, uid, gid)
	}
	want.changes.Missing = &overlay.Change{
		Word: overlay.Mkdir, Place: f.workdir, HasMode: true, Mode: fs.FileMode(0o755), HasOwner: true, UID: uid, GID: gid,
	}
	return nil
}

// workdirOwner returns the image's user: that of --user, or else the base image's.
func (f *assemblyFlags) workdirOwner(a *assembly, view *rootfs.View, want assemblyOptions, say *speaker) (uid, gid int) {
	if f.user != "" && !want.byName {
		return want.user.UID, want.user.GID
	}
	name, group := want.user.Name, ""
	if f.user == "" && a.baseImage != nil {
		name, group, _ = strings.Cut(a.baseImage.image.Config.Config.User, ":")
	}
	if name == "" {
		return 0, 0
	}
	passwd, err := base.ReadPasswd(view, a.baseImage.lower(), a.baseFiles.Part, nil)
	if err != nil {
		passwd = nil
	}
	if uid, err = rootfs.ParseID(name); err != nil {
		user, err := base.FindUser(name, passwd)
		if err != nil {
			if f.user == "" || len(want.changes.Layers) > 0 { // otherwise it is an error of its own
				say.notef("--workdir %s belongs to root if it has to be made: %v", f.workdir, err)
			}
			return 0, 0
		}
		uid, gid = user.UID, user.GID
	} else if user, ok := base.FindID(uid, passwd); ok {
		gid = user.GID
	}
	if n, err := strconv.ParseUint(group, 10, 31); err == nil {
		gid = int(n)
	}
	return uid, gid
}
