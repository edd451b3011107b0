package base

import (
	"fmt"

	"github.com/export-profile/export-profile/rootfs"
)

// emptyKey is the key of no base files.
const emptyKey = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// WithObjects returns all parts of an image: the store objects, and the base files after them, if there are any.
func (f *Files) WithObjects(objects []rootfs.Part) []rootfs.Part {
	if f.Key == emptyKey {
		return objects
	}
	parts := make([]rootfs.Part, 0, len(objects)+1)
	return append(append(parts, objects...), f.Part)
}

// Architecture returns the architecture that the programs of all profiles are for, as a GOARCH value.
// It is empty if no profile has programs that show one. Profiles of two architectures are an error.
func (f *Files) Architecture() (string, error) {
	arch, of := "", ""
	for i, p := range f.profiles {
		switch a := f.Architectures[i]; {
		case a == "" || a == arch:
		case arch == "":
			arch, of = a, p
		default:
			return "", fmt.Errorf("profiles of two architectures: %q is for %s, %q for %s", of, arch, p, a)
		}
	}
	return arch, nil
}
