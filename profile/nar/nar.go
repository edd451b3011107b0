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
// Read is strict, because the input may be hostile:
//
//   - Fields appear in this order, and no others.
//   - Names pass [rootfs.CheckName] and ascend strictly, so none appears twice.
//   - Link targets pass [rootfs.CheckTarget]: they are neither empty nor longer than [rootfs.MaxTarget].
//   - Padding is zero.
//   - Directories nest at most [rootfs.MaxDepth] deep.
//   - An end before the last parenthesis is io.ErrUnexpectedEOF.
//
// Declared lengths cause no allocation.
// Nix itself is less strict (2.8 accepts unsorted names), but writes nothing that Read refuses.
//
// Names and targets are bytes, not necessarily UTF-8.
package nar

import "github.com/export-profile/export-profile/rootfs"

// magic is the first string of every NAR.
const magic = "nix-archive-1"

// maxTag limits strings that must be words of the grammar.
const maxTag = 32

// fileMode returns the mode of a regular file. A NAR stores only the executable bit.
func fileMode(executable bool) (mode uint32) {
	if executable {
		return 0o555
	}
	return 0o444
}

// executable inverts fileMode.
func executable(e rootfs.Entry) bool { return e.Mode&0o100 != 0 }
