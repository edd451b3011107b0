package binarycache

import (
	"fmt"
	"strings"

	"github.com/export-profile/export-profile/profile"
)

// cacheInfoName is the file that marks a directory or URL as a binary cache.
const cacheInfoName = "nix-cache-info"

// checkCacheInfo checks that a nix-cache-info names the supported store directory.
// It ignores all other keys and lines without a key; Nix uses some of them to choose among caches.
// named reports whether a store directory is given at all: a web server that is no cache may send anything.
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
