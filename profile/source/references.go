package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/references"
)

// ReferencesError reports a file for Options.References that has no references.
type ReferencesError = references.FormatError

// registration is the file of references in a directory that nixpkgs' closureInfo has made.
const registration = "registration"

// readReferences reads a file of references, or the one in a directory of closureInfo.
func readReferences(name string) ([]*profile.Info, error) {
	infos, err := parseReferences(name)
	var file *fs.PathError
	if errors.As(err, &file) {
		return nil, fmt.Errorf("read references: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read references %q: %w", name, err)
	}
	return infos, nil
}

func parseReferences(name string) ([]*profile.Info, error) {
	fi, err := os.Stat(name)
	if err == nil && fi.IsDir() {
		name = filepath.Join(name, registration)
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			return nil, &ReferencesError{Is: "a directory without " + registration + ", the file that closureInfo writes"}
		}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return references.Parse(f)
}
