package tarstore

import (
	"strings"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// otherRoots are directories of a root file system in which people have stores of their own.
var otherRoots = map[string]bool{"home": true, "opt": true, "srv": true, "usr": true, "var": true}

// Elsewhere returns the store directory that the place in the archive looks like, such as "opt/nix/store",
// if it is another one than [Store.StoreDir]. The place proves nothing: the directory may have been copied there.
func (s *Store) Elsewhere() (profile.StoreDir, bool) {
	place, taken := s.tree.path(s.store), s.dir.Root()
	top, _, _ := strings.Cut(place, "/")
	if !strings.HasSuffix(place, "/store") || place == taken || strings.HasSuffix(place, "/"+taken) && !otherRoots[top] {
		return profile.StoreDir{}, false
	}
	dir, err := rootfs.ParseStoreDir("/" + place)
	return dir, err == nil
}
