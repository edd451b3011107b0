package binarycache

import (
	"fmt"
	"strings"

	"github.com/export-profile/export-profile/profile"
)

// cacheInfoName is the file that makes a directory or a URL a binary cache.
const cacheInfoName = "nix-cache-info"

// checkCacheInfo reports why a cache cannot be read, by its nix-cache-info.
// Unknown keys, and lines that have none, are ignored; so is what is for Nix's choice among several caches.
// Named says whether there is a store directory at all: something else than a cache may answer anything.
func checkCacheInfo(b []byte) (named bool, err error) {
	for line := range strings.Lines(string(b)) {
		key, value, ok := strings.Cut(line, ":")
		if value = strings.TrimSpace(value); !ok || key != "StoreDir" {
			continue
		}
		if value != profile.StoreDir {
			return true, fmt.Errorf("store directory %q is not supported, only %s is", value, profile.StoreDir)
		}
		named = true
	}
	return named, nil
}
