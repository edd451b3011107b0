package binarycache

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// ignoredSettings lists the settings of Nix that may follow the URL of a binary cache, as in nix.conf, and that have no effect here.
// They choose among caches, configure Nix's own caches, or concern writing (libstore/store-api.hh, binary-cache-store.hh).
// trusted has no effect either: what to trust is not for a URL to say.
var ignoredSettings = map[string]bool{
	"priority": true, "want-mass-query": true, "trusted": true, "system-features": true, "path-info-cache-size": true,
	"compression": true, "compression-level": true, "parallel-compression": true,
	"narinfo-compression": true, "ls-compression": true, "log-compression": true,
	"write-nar-listing": true, "index-debug-info": true, "secret-key": true, "secret-keys": true, "local-nar-cache": true,
}

// ParseSettings checks the settings after the question mark in the URL of a binary cache.
// dir is the store directory that they name, or nil.
// Its errors do not quote their values, which may be secret.
func ParseSettings(query string) (dir *profile.StoreDir, err error) {
	settings, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("the settings in its URL are not valid")
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		switch {
		case ignoredSettings[name]:
		case name == "store":
			for _, value := range settings[name] {
				d, err := rootfs.ParseStoreDir(value)
				if err == nil && dir != nil && d != *dir {
					err = fmt.Errorf("two store directories: %s and %s", dir, d)
				}
				if err != nil {
					return nil, err
				}
				dir = &d
			}
		default:
			return nil, fmt.Errorf("setting %q in its URL is not supported", name)
		}
	}
	return dir, nil
}
