package rootfs

import "io/fs"

// specialBits are those of a mode besides permissions, as Unix and tars have them.
var specialBits = []struct {
	unix uint32
	mode fs.FileMode
}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}}

// FileMode is a mode as Unix and tars have it, without a type: permissions, setuid, setgid and sticky.
func FileMode(unix uint32) fs.FileMode {
	mode := fs.FileMode(unix) & fs.ModePerm
	for _, b := range specialBits {
		if unix&b.unix != 0 {
			mode |= b.mode
		}
	}
	return mode
}

// UnixMode is the inverse of FileMode.
func UnixMode(mode fs.FileMode) uint32 {
	unix := uint32(mode.Perm())
	for _, b := range specialBits {
		if mode&b.mode != 0 {
			unix |= b.unix
		}
	}
	return unix
}
