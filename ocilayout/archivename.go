package ocilayout

import (
	"fmt"
	"slices"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// archiveNames is how an image in an archive gets its names: the descriptors of its index,
// and the tags in its manifest.json, which are full names. If the index is alone, there is no manifest.json.
//
// Loaders make names of whatever they find, also of a tag alone (podman: v1 is localhost/v1:latest).
// So where there is a full name, only full names are in the archive; and without any name, none is.
//
// The index has one descriptor: from more than one, podman and skopeo cannot choose.
// Only beside a manifest.json it has one for each of several full names, as docker save and BuildKit have them,
// since containerd, and Docker where it stores images there, see nothing else.
// Podman then gives up the layout and loads the image by manifest.json, under all of its names.
func archiveNames(image ispec.Descriptor, names []Name, alone bool) (index []ispec.Descriptor, tags, notes []string, err error) {
	var full []Name
	for _, n := range names {
		if n.Full != "" && !slices.ContainsFunc(full, func(m Name) bool { return m.Full == n.Full }) {
			full = append(full, n)
			tags = append(tags, n.Full)
		}
	}
	left := 0
	switch {
	case len(full) == 0 && len(names) == 0:
		image.Platform, image.Annotations = nil, nil // see describe
		return []ispec.Descriptor{image}, nil, nil, nil
	case len(full) == 0:
		full, left = names[:1], len(names)-1
		note := fmt.Sprintf("the image has the tag %s and no full name: podman loads it as localhost/%[1]s:latest, Docker without a name", names[0].Tag)
		if strings.ToLower(names[0].Tag) != names[0].Tag { // capitals are in no name
			note = fmt.Sprintf("the image has the tag %s and no full name: it is loaded without one", names[0].Tag)
		}
		notes = append(notes, note)
	case len(full) > 1 && alone:
		left = len(full) - 1
		full = full[:1]
	}
	if left > 0 {
		notes = append(notes, fmt.Sprintf("of the image's names only %s is in the archive", nameOf(full[0])))
	}
	index, err = describe(image, full)
	return index, tags, notes, err
}

func nameOf(n Name) string {
	if n.Full != "" {
		return n.Full
	}
	return n.Tag
}
