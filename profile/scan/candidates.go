package scan

import (
	"strings"

	"github.com/export-profile/export-profile/profile"
)

// Candidates returns the store objects among the names in the store directory dir.
// It leaves out everything else that Nix puts there (libstore/local-store.cc, libstore/pathlocks.cc):
//
//   - names that are not those of objects, such as .links and temporary files;
//   - <object>.check and <derivation>.drv.chroot, left by builds;
//   - <object>.lock, if the object exists or small reports a file of at most one byte.
//     Other names that end in .lock, such as Cargo.lock, are objects.
func Candidates(dir profile.StoreDir, names []string, small func(name string) bool) []profile.Path {
	exists := make(map[string]bool, len(names))
	for _, name := range names {
		exists[name] = true
	}
	var paths []profile.Path
	for _, name := range names {
		p, err := profile.ParseBase(dir, name)
		if err != nil {
			continue
		}
		locked, isLock := strings.CutSuffix(name, ".lock")
		switch {
		case strings.HasSuffix(name, ".drv.chroot"), strings.HasSuffix(name, ".check"):
		case isLock && (exists[locked] || small(name)):
		default:
			paths = append(paths, p)
		}
	}
	return paths
}
