package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/export-profile/export-profile/profile"
)

// defaultProfile returns the first existing link that Nix or Guix, whichever has the store, may have made for this user.
// A dangling link counts: to skip it would export a profile that is not the user's.
func defaultProfile(dir profile.StoreDir) (string, error) {
	if p := os.Getenv("NIX_PROFILE"); p != "" && !dir.IsGuix() {
		return p, nil
	}
	places := profilePlaces(dir)
	if i := slices.IndexFunc(places, isLink); i >= 0 {
		return places[i], nil
	}
	err := &noProfileError{tried: places}
	for _, other := range profile.KnownStoreDirs {
		if other == dir {
			continue
		}
		if places := profilePlaces(other); slices.ContainsFunc(places, isLink) {
			err.hint = fmt.Sprintf("say --store-dir %s to take %s", other, places[slices.IndexFunc(places, isLink)])
			return "", err
		}
	}
	if dir.IsGuix() && exists(guixSystemProfile) {
		err.hint = "name another one, as in --profile " + guixSystemProfile
	}
	return "", err
}

// isLink reports whether a link or file exists. The link may lead nowhere.
func isLink(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// guixSystemProfile has the packages of a Guix System, without the system around them.
const guixSystemProfile = "/run/current-system/profile"

// profilePlaces lists the links that Nix or Guix may have made for this user.
func profilePlaces(dir profile.StoreDir) (places []string) {
	home, homeErr := os.UserHomeDir()
	user := os.Getenv("USER")
	if !filepath.IsLocal(user) {
		user = ""
	}
	perUser := filepath.Join(profile.StateDir(dir), "profiles/per-user", user)
	if dir.IsGuix() {
		if homeErr == nil {
			places = append(places, filepath.Join(home, ".guix-profile"))
		}
		if user != "" {
			places = append(places, filepath.Join(perUser, "guix-profile"))
		}
		return places
	}
	if homeErr == nil {
		places = append(places, filepath.Join(home, ".nix-profile"))
	}
	state := os.Getenv("NIX_STATE_HOME")
	if state == "" {
		if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
			state = filepath.Join(dir, "nix")
		} else if homeErr == nil {
			state = filepath.Join(home, ".local/state/nix")
		}
	}
	if state != "" {
		places = append(places, filepath.Join(state, "profile"), filepath.Join(state, "profiles/profile"))
	}
	if user != "" {
		places = append(places, filepath.Join(perUser, "profile"))
	}
	return append(places, profile.DefaultLink(dir))
}

// noProfileError lists the places searched for this user's profile.
type noProfileError struct {
	tried []string
	hint  string // or ""
}

func (e *noProfileError) Error() string {
	var quoted []string
	for _, name := range e.tried {
		quoted = append(quoted, strconv.Quote(name))
	}
	return fmt.Sprintf("find profile: none of %s exists", strings.Join(quoted, ", "))
}

func (e *noProfileError) Unwrap() error { return fs.ErrNotExist }
