package ocilayout

import (
	"fmt"
	"slices"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// archiveNames names an image in an archive: it returns the descriptors of the index,
// and the tags in manifest.json, which are full names. If alone is set, there is no manifest.json beside the index.
//
// Loaders make a name of anything they find, even of a tag alone (podman makes localhost/v1:latest of v1).
// So if the image has a full name, the archive has only full names; and if it has no name, the archive has none.
//
// The index has one descriptor, because podman and skopeo cannot choose among several.
// Beside a manifest.json it has one for each full name, as docker save and BuildKit write it:
// containerd reads nothing else, and neither does Docker if it stores images in containerd.
// Podman then gives up on the layout and loads the image by manifest.json, under all its names.
func archiveNames(image ispec.Descriptor, names []Name, alone bool) (index []ispec.Descriptor, tags, notes []string, err error) {
	var full []Name
	for _, n := range names {
		if n.Full != "" && !slices.ContainsFunc(full, func(m Name) bool { return m.Full == n.Full }) {
			full = append(full, n)
			tags = append(tags, n.Full)
		}
	}
	omitted := 0
	switch {
	case len(full) == 0 && len(names) == 0:
		image.Platform, image.Annotations = nil, nil // see describe
		return []ispec.Descriptor{image}, nil, nil, nil
	case len(full) == 0:
		full, omitted = names[:1], len(names)-1
		note := fmt.Sprintf("the image has the tag %s and no full name: podman loads it as localhost/%[1]s:latest, Docker without a name", names[0].Tag)
		if strings.ToLower(names[0].Tag) != names[0].Tag { // no name may have capitals
			note = fmt.Sprintf("the image has the tag %s and no full name: it is loaded without one", names[0].Tag)
		}
		notes = append(notes, note)
	case len(full) > 1 && alone:
		omitted = len(full) - 1
		full = full[:1]
	}
	if omitted > 0 {
		notes = append(notes, fmt.Sprintf("the archive has only the name %s of the image", nameOf(full[0])))
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
