package scan

import (
	"strings"

	"github.com/export-profile/export-profile/profile"
)

// Candidates are the objects in a store directory, of the names that are in it.
// Left out is what Nix puts beside them (libstore/local-store.cc, libstore/pathlocks.cc):
// what is not called like an object, as .links and temporary files;
// <object>.check and <derivation>.drv.chroot, left by builds;
// <object>.lock, if small says that it is a file of at most one byte, or if the object itself is there.
// A Cargo.lock is an object as good as any.
func Candidates(names []string, small func(name string) bool) []profile.Path {
	there := make(map[string]bool, len(names))
	for _, name := range names {
		there[name] = true
	}
	var paths []profile.Path
	for _, name := range names {
		p, err := profile.ParseBase(name)
		if err != nil {
			continue
		}
		locked, isLock := strings.CutSuffix(name, ".lock")
		switch {
		case strings.HasSuffix(name, ".drv.chroot"), strings.HasSuffix(name, ".check"):
		case isLock && (there[locked] || small(name)):
		default:
			paths = append(paths, p)
		}
	}
	return paths
}
