package main

import (
	"path"
	"path/filepath"
	"strings"
)

// besideName returns the name, without extension, of the files beside an image in a layout or archive: DIR-TAG or ARCHIVE.
// It is "" if there is no such file.
func besideName(at place) string {
	switch {
	case at.Layout != "":
		return besideLayout(at.Layout, at.Tags[0])
	case at.Archive != standardName:
		return at.Archive
	}
	return ""
}

// besideNames is besideName for an image that is read. A layout has a file for each tag of the image.
func besideNames(n imageName, tags []string) (names []string) {
	switch {
	case n.path == standardName:
		return nil
	case n.transport.archive:
		return []string{n.path}
	}
	seen := make(map[string]bool)
	for _, tag := range tags {
		if name := besideLayout(n.path, tag); !seen[name] && !strings.ContainsAny(tag, "/\x00") {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

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
