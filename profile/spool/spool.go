// Package spool makes temporary files that leave nothing behind, however a run ends.
package spool

import (
	"os"

	"github.com/export-profile/export-profile/rootfs"
)

// New makes a file that nobody else can open and that is gone when it is closed or the process dies.
// The directory, by default os.TempDir, is made if it does not exist.
func New(dir string) (*os.File, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	return rootfs.Nameless(dir)
}
