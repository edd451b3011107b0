package binarycache

import (
	"fmt"
	"strings"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// cacheInfoName is the file that marks a directory or URL as a binary cache.
const cacheInfoName = "nix-cache-info"

// parseCacheInfo returns the store directory that a nix-cache-info names, or /nix/store.
// It ignores all other keys and lines without a key; Nix uses some of them to choose among caches.
// named reports whether a store directory is given at all: a web server that is no cache may send anything.
func parseCacheInfo(b []byte) (dir profile.StoreDir, named bool, err error) {
	for line := range strings.Lines(string(b)) {
		key, value, ok := strings.Cut(line, ":")
		if value = strings.TrimSpace(value); !ok || key != "StoreDir" {
			continue
		}
		next, err := rootfs.ParseStoreDir(value)
		if err == nil && named && next != dir {
			err = fmt.Errorf("two store directories: %s and %s", dir, next)
		}
		if err != nil {
			return dir, true, err
		}
		dir, named = next, true
	}
	return dir, named, nil
}
