package main

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/profile/localstore"
)

// hintPermission tells a file that may not be read from a place that may not be written to.
func hintPermission(err error) string {
	var object *localstore.ReadError
	var path *fs.PathError
	if errors.As(err, &object) || errors.As(err, &path) && unreadable(path) {
		return "get permission to read it, or run as a user who may"
	}
	return "choose a place that you may write to"
}

// unreadable reports whether an error concerns a file that exists and that this user may not read.
func unreadable(e *fs.PathError) bool {
	switch e.Op {
	case "open", "openat", "stat", "lstat", "readlink", "read", "readdirent":
	default:
		return false
	}
	fi, err := os.Lstat(e.Path)
	if err != nil {
		return errors.Is(err, fs.ErrPermission)
	}
	var want uint32 = unix.R_OK
	if fi.IsDir() {
		want |= unix.X_OK
	}
	return unix.Access(e.Path, want) != nil
}
