package ocilayout

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/distribution/reference"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/umoci/oci/casext"
)

// Name is one name of an image.
type Name struct {
	Tag  string // in the layout
	Full string // under which loaders store the image: docker.io/library/hello:v1; may be empty
}

// AnnotationFullName is the annotation in which loaders look for the full name.
const AnnotationFullName = "io.containerd.image.name"

var tagPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// isTag reports whether registries accept a tag.
// The pattern leaves out the length: it would compile into 128 copies at every program start.
func isTag(s string) bool { return len(s) <= 128 && tagPattern.MatchString(s) }

// ParseTag checks the tag of an image in a layout. Registries must accept it,
// and other tools must understand oci:DIR:TAG, which excludes tags like "_x", "a..b" and "1.0-".
func ParseTag(s string) (string, error) {
	if !isTag(s) || !casext.IsValidReferenceName(s) {
		return "", fmt.Errorf("tag %q: want at most 128 letters and digits, with any one of _.- between them", s)
	}
	return s, nil
}

// ParseReference parses a name as people write it: hello, hello:v1, registry.example.com/team/hello:v1.
// The default tag is latest. A name with a digest is an error: the digest is not known yet.
// The tag may be one that ParseTag refuses, because loaders find the image by its full name.
func ParseReference(s string) (Name, error) {
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return Name{}, fmt.Errorf("image name %q: %w", s, err)
	}
	if _, ok := named.(reference.Digested); ok {
		return Name{}, fmt.Errorf("image name %q: has a digest, which is the result, not a name", s)
	}
	// Capitals before the first slash make it a registry; podman takes it for one only with a dot or a port.
	if domain := reference.Domain(named); strings.ToLower(domain) != domain && !strings.ContainsAny(domain, ".:") {
		return Name{}, fmt.Errorf("image name %q: want lower case, or a registry with a dot or a port in its name", s)
	}
	tagged := reference.TagNameOnly(named).(reference.Tagged)
	return Name{Tag: tagged.Tag(), Full: tagged.String()}, nil
}

// describe returns the descriptors of an image in the index, one for each name.
// Their reference names differ: if several full names share a tag,
// the second and later ones have the full name as their reference.
func describe(image ispec.Descriptor, names []Name) ([]ispec.Descriptor, error) {
	var all []ispec.Descriptor
	at := make(map[string]int) // position in all, by reference name
	add := func(ref, full string) {
		d := image
		d.Platform = nil // loaders might filter by platform
		d.Annotations = map[string]string{ispec.AnnotationRefName: ref}
		if full != "" {
			d.Annotations[AnnotationFullName] = full
		}
		if i, ok := at[ref]; ok {
			all[i] = d
			return
		}
		at[ref] = len(all)
		all = append(all, d)
	}
	for _, n := range names {
		if !isTag(n.Tag) {
			return nil, fmt.Errorf("tag %q: not a tag", n.Tag)
		}
		i, taken := at[n.Tag]
		if !taken || n.Full == "" || all[i].Annotations[AnnotationFullName] == "" {
			if !taken || n.Full != "" {
				add(n.Tag, n.Full)
			}
			continue
		}
		if all[i].Annotations[AnnotationFullName] != n.Full {
			add(n.Full, n.Full)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("image %s: no name", image.Digest)
	}
	return all, nil
}
