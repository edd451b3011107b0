package source

import (
	"fmt"
	"strings"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/tarstore"
)

// On macOS, tar writes the extended attributes of "x" to a file "._x" beside it.
// If the hash of an object is known, the error about it names such a file. Otherwise the files become part of the object,
// where they may even belong: sources often contain them. So a note is all that helps.

// noteAppleTar notes files that macOS has probably added to a tar.
func (o *Options) noteAppleTar(name string, s *tarstore.Store) {
	if o.Note == nil || o.hashed {
		return
	}
	if file := s.AppleDouble(); file != "" {
		o.Note(fmt.Sprintf("%q has %q, as tar on macOS adds for extended attributes: such files become part of store paths", name, file))
	}
}

// noteAppleNames notes files that macOS has probably added to a store directory, and so perhaps to objects.
func (o *Options) noteAppleNames(dir string, names []string) {
	if o.Note == nil || o.hashed {
		return
	}
	for _, name := range names {
		if object, ok := strings.CutPrefix(name, "._"); ok && profile.CheckBase(object) == nil {
			o.Note(fmt.Sprintf("%q has %q, as tar on macOS adds for extended attributes: such files become part of store paths", dir, name))
			return
		}
	}
}
