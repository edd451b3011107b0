package base

import (
	"fmt"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// AddFile adds a regular file, 0444, and the directories above it, 0755.
// Like [New], it follows the links of the base image to directories, and notes if the file replaces one of the base image.
// It is an error if the file cannot be there.
func (f *Files) AddFile(lower *rootfs.Lower, path string, content []byte) error {
	b := newBuilder(nil)
	b.store = f.store
	b.lower = lower
	if !b.putFileOver(rootfs.File(path, 0o444, 0, nil), content) {
		_, why, _ := strings.Cut(strings.Join(b.notes, "; "), ": ")
		return fmt.Errorf("add %q: %s", "/"+path, why)
	}
	if b.err != nil {
		return fmt.Errorf("add %q: %w", "/"+path, b.err)
	}
	part, err := Extend(f.Part, b.files.Tree())
	if err != nil {
		return fmt.Errorf("add %q: %w", "/"+path, err)
	}
	f.Part = part
	f.Notes = append(f.Notes, b.notes...)
	return nil
}
