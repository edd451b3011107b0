package rootfs

import "io/fs"

// specialBits are the bits of a Unix mode besides its permissions and its type.
var specialBits = []struct {
	unix uint32
	mode fs.FileMode
}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}}

// FileMode converts the permissions, setuid, setgid and sticky bits of a mode in Unix or in a tar.
func FileMode(unix uint32) fs.FileMode {
	mode := fs.FileMode(unix) & fs.ModePerm
	for _, b := range specialBits {
		if unix&b.unix != 0 {
			mode |= b.mode
		}
	}
	return mode
}

// UnixMode reverses FileMode.
func UnixMode(mode fs.FileMode) uint32 {
	unix := uint32(mode.Perm())
	for _, b := range specialBits {
		if mode&b.mode != 0 {
			unix |= b.unix
		}
	}
	return unix
}
