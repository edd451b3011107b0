package main

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/rootfs/overlay"
)

// An attestation of image has the flags that shaped the image as parameters. The lists name every flag of image,
// so that a new flag must be in one of them. Parameters must not differ between machines and users that make the same image with
// the same flags, and must not name places on them.
const (
	// shapingFlags have their values as parameters.
	shapingFlags = "entrypoint user platform with-nix-db no-profile bare owner mode allow-store-changes add-user add-group " +
		"env cmd workdir expose volume label annotation stop-signal author created os-version os-feature " +
		"healthcheck healthcheck-interval healthcheck-timeout healthcheck-start-period healthcheck-retries " +
		"sbom-in-image compression layers max-layers max-waste"
	// mentionedFlags shape the image by a file or an image that they name. The parameter only says that they were given.
	mentionedFlags = "previous ca-file layers-file metadata"
	// unstatedFlags do not shape the image, or the statement says it otherwise: its dependencies are the store paths
	// and the base image.
	unstatedFlags = "profile from tag base file " +
		"sbom digest-file attest key-password-file attestation-file " +
		"check check-time max-size " +
		"references store-dir verify-store trusted-public-key no-check-sigs require-sigs netrc " +
		"verify-previous cache no-cache verify-cache trusted-cache-key cache-key-file " +
		"tls-verify registry-ca mount-from " +
		"help json quiet debug sync print-file print-schema"
)

// parameters returns the flags that shaped an image, by name, as strings, booleans, integers and lists of strings.
// The changes are one list, since their order matters.
func parameters(fs *pflag.FlagSet, created time.Time) map[string]any {
	all := make(map[string]any)
	shaping, mentioned := strings.Fields(shapingFlags), strings.Fields(mentionedFlags)
	fs.VisitAll(func(f *pflag.Flag) {
		switch {
		case !f.Changed:
		case slices.Contains(mentioned, f.Name):
			all[f.Name] = true
		case slices.Contains(shaping, f.Name):
			if v := parameter(f); v != nil {
				all[f.Name] = v
			}
		}
	})
	if !created.IsZero() {
		all["created"] = created.UTC().Format(time.RFC3339) // not "now"
	}
	if changes := changesOf(fs).titles(); len(changes) > 0 {
		all[changesKey] = changes
	}
	return all
}

// parameter returns a flag's value, or nil if it is that of a flag that was not given.
func parameter(f *pflag.Flag) any {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		words := list.GetSlice()
		if isPairs(f) && f.Name != "env" { // of a map, so the order does not count, nor those that others replace
			words = slices.Sorted(slices.Values(mergeEnv(nil, words)))
		}
		return clean(words)
	}
	switch f.Value.Type() {
	case "bool":
		if f.Value.String() == "true" {
			return true
		}
		return nil
	case "int":
		return json.Number(f.Value.String())
	}
	word := f.Value.String()
	if isCommand(f) && strings.HasPrefix(word, "[") {
		if words, err := parseWords("--"+f.Name, word); err == nil {
			return clean(words)
		}
	}
	return clean([]string{word})[0]
}

// clean returns the words with those quoted that JSON cannot hold.
func clean(words []string) []string {
	all := slices.Clone(words)
	for i, w := range all {
		if !utf8.ValidString(w) {
			all[i] = strconv.Quote(w)
		}
	}
	return all
}

// titles returns the changes in order, without the names of their sources.
func (c *changeFlags) titles() (all []string) {
	parse := map[string]func(string) (overlay.Change, error){
		"add": overlay.ParseAdd, "mkdir": overlay.ParseMkdir, "symlink": overlay.ParseSymlink, "whiteout": overlay.ParseWhiteout,
	}
	for _, change := range c.changes {
		if parse[change.kind] == nil {
			all = append(all, change.kind)
			continue
		}
		parsed, err := parse[change.kind](change.word)
		if err != nil {
			continue // run has refused it
		}
		parsed.Source = ""
		all = append(all, change.kind+" "+strings.TrimPrefix(parsed.String(), ":"))
	}
	return clean(all)
}
