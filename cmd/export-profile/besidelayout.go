package main

import (
	"path"
	"path/filepath"
	"strings"
)

// besideLayout returns the name, without extension, of the files about an image in a layout: DIR, or DIR-TAG.
// Such a file never lies in the layout: if DIR is "." or ends in "..", the name is that of the directory, as an absolute path.
func besideLayout(dir, tag string) string {
	name := strings.TrimRight(dir, "/")
	for strings.HasSuffix(name, "/.") {
		name = strings.TrimRight(strings.TrimSuffix(name, "."), "/")
	}
	if base := path.Base(name); base == "." || base == ".." {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			name = real // since LINK/.. is above the link's target
		}
		if abs, err := filepath.Abs(name); err == nil {
			name = abs
		}
	}
	return name + ofTag(tag)
}

// ofTag returns the part of a file name for a tag, since a layout can have a document for each of its tags.
func ofTag(tag string) string {
	if tag == "latest" || tag == "" {
		return ""
	}
	return "-" + tag
}
