package main

import (
	"fmt"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nixdb"
	"github.com/export-profile/export-profile/rootfs"
)

// addNixDB adds the state that Nix keeps beside its store.
func addNixDB(base *rootfs.BaseFiles, closure *profile.Closure) error {
	files, err := nixdb.Files(closure)
	if err == nil {
		base.Part, err = rootfs.Extend(base.Part, files)
	}
	return err
}

// architecture is the one that the programs of all profiles are for.
func architecture(base *rootfs.BaseFiles, profiles []string) (string, error) {
	arch, of := "", ""
	for i, p := range profiles {
		switch a := base.Architectures[i]; {
		case a == "" || a == arch:
		case arch == "":
			arch, of = a, p
		default:
			return "", fmt.Errorf("profiles of two architectures: %q is for %s, %q for %s", of, arch, p, a)
		}
	}
	return arch, nil
}
