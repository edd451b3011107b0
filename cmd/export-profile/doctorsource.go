package main

import (
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/source"
)

// findSources finds files and directories in the working directory that --from reads, other than the machine's own store.
func (d *doctor) findSources() {
	looked := 0
	for _, name := range namesHere() {
		if strings.HasPrefix(name, ".") || resultLink.MatchString(name) || !isPlain(name) || isOwn(name) {
			continue
		}
		if looked++; looked > maxSniffed {
			return
		}
		form, err := source.Recognise(name)
		if err != nil {
			continue
		}
		d.Sources = append(d.Sources, foundSource{name, formName(form), form == source.ExportStream || form == source.Tar})
	}
}

// isOwn reports whether a name in the working directory is that of the directory around this machine's store, or of its state.
func isOwn(name string) bool {
	abs, err := filepath.Abs(name)
	return err != nil || slices.ContainsFunc(profile.KnownStoreDirs, func(d profile.StoreDir) bool {
		return slices.Contains(profile.OwnDirs(d), abs)
	})
}

// isPlain reports whether a name can be shown on a terminal as it is.
func isPlain(name string) bool {
	return utf8.ValidString(name) && !strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) })
}

// formName says what a source is.
func formName(form source.Form) string {
	switch form {
	case source.ExportStream:
		return "an export stream"
	case source.Tar:
		return "a tar of a store"
	case source.CacheDirectory:
		return "a binary cache"
	case source.StoreDirectory:
		return "a store directory"
	}
	return "a copied store"
}
