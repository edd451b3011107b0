// Package nar reads and writes Nix archives, the canonical serialisation of a store object.
//
// The grammar (Nix, libutil/archive.cc):
//
//	u64(n)   8 bytes, little-endian
//	str(s)   u64(length) s, padded with zeros to a multiple of 8
//	nar      str("nix-archive-1") node
//	node     str("(") str("type") body str(")")
//	body     str("regular") [ str("executable") str("") ] str("contents") u64(n) n bytes, padded
//	         str("symlink") str("target") str(target)
//	         str("directory") { str("entry") str("(") str("name") str(name) str("node") node str(")") }
//
// It is read strictly, since whoever wrote it may be hostile:
// fields come in this order and no others do;
// names are those of [rootfs.CheckName] and strictly ascending, so none is there twice;
// targets are neither empty nor longer than [rootfs.MaxTarget];
// padding is zero; directories are at most [rootfs.MaxDepth] deep;
// an end before the last parenthesis is io.ErrUnexpectedEOF.
// Nothing is allocated by a declared length.
// Nix itself is laxer (2.8 takes unsorted names), but never writes what is refused here.
//
// Names and targets are bytes, not necessarily UTF-8.
package nar

import "github.com/export-profile/export-profile/rootfs"

// magic begins every NAR.
const magic = "nix-archive-1"

// maxTag is the longest word of the grammar that is read before it is compared.
const maxTag = 32

// fileMode is the mode of a regular file, which a NAR knows only the executable bit of.
func fileMode(executable bool) (mode uint32) {
	if executable {
		return 0o555
	}
	return 0o444
}

// executable is the inverse of fileMode.
func executable(e rootfs.Entry) bool { return e.Mode&0o100 != 0 }
