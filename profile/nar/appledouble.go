package nar

import (
	"bytes"
	"path"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// appleDouble finds the first AppleDouble file in a tree.
// On macOS, tar and other programs write the extended attributes of "x" to such a file, "._x" (RFC 1740, appendix A).
type appleDouble struct {
	found   string
	current string // the file whose content comes next, if its name fits
}

// AppleDoubleMagic begins an AppleDouble file.
const AppleDoubleMagic = "\x00\x05\x16\x07"

func (a *appleDouble) entry(e rootfs.Entry) {
	a.current = ""
	if a.found == "" && e.IsRegular() && strings.HasPrefix(path.Base(e.Path), "._") {
		a.current = e.Path
	}
}

func (a *appleDouble) content(p []byte) {
	if a.current != "" && bytes.HasPrefix(p, []byte(AppleDoubleMagic)) {
		a.found = a.current
	}
	a.current = ""
}
