package binarycache

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"

	"github.com/export-profile/export-profile/profile"
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

// CheckSettings checks the settings after the question mark in the URL of a binary cache.
// Its errors do not quote their values, which may be secret.
func CheckSettings(query string) error {
	settings, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the settings in its URL are not valid")
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		switch {
		case ignoredSettings[name]:
		case name == "store":
			for _, dir := range settings[name] {
				if dir != profile.StoreDir {
					return fmt.Errorf("store directory %q is not supported, only %s is", dir, profile.StoreDir)
				}
			}
		default:
			return fmt.Errorf("setting %q in its URL is not supported", name)
		}
	}
	return nil
}
