package localstore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/profile/casehack"
)

// dirent is an entry of a directory.
type dirent struct {
	name     string
	original string // if it differs from name; see package casehack
	kind     uint8  // unix.DT_DIR and so on; unix.DT_UNKNOWN if the file system does not tell
}

// shown returns the name of an entry in the store object.
func (d *dirent) shown() string { return cmp.Or(d.original, d.name) }

// restoreNames gives entries their original names, and sorts them again.
func restoreNames(entries []dirent) {
	for i := range entries {
		if original, changed := casehack.Original(entries[i].name); changed {
			entries[i].original = original
		}
	}
	slices.SortFunc(entries, func(a, b dirent) int { return cmp.Compare(a.shown(), b.shown()) })
}

// list reads the entries of a directory, sorted by the bytes of their names.
// The directory usually tells their kinds, which saves one system call per entry.
func list(fd int, buf []byte) ([]dirent, error) {
	var (
		names []byte
		ends  []int
		kinds []uint8
	)
	for {
		var n int
		err := retryEINTR(func() (err error) { n, err = unix.Getdents(fd, buf); return err })
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		for rest := buf[:n]; len(rest) > 0; {
			name, kind, size := parseDirent(rest)
			if size == 0 {
				return nil, errors.New("unreadable directory entry")
			}
			rest = rest[size:]
			if string(name) == "." || string(name) == ".." {
				continue
			}
			names = append(names, name...)
			ends = append(ends, len(names))
			kinds = append(kinds, kind)
		}
	}
	// Let all names share one string, which saves two allocations per name.
	all, from := string(names), 0
	entries := make([]dirent, len(ends))
	for i, end := range ends {
		entries[i] = dirent{name: all[from:end], kind: kinds[i]}
		from = end
	}
	slices.SortFunc(entries, func(a, b dirent) int { return cmp.Compare(a.name, b.name) })
	return entries, nil
}

// parseDirent parses the first struct linux_dirent64 (getdents64(2)) in b:
// inode and offset (8 bytes each), length of the record (2), kind (1), name up to a NUL.
// It returns size 0 for an invalid record.
func parseDirent(b []byte) (name []byte, kind uint8, size int) {
	const nameAt = 19
	if len(b) <= nameAt {
		return nil, 0, 0
	}
	size = int(binary.NativeEndian.Uint16(b[16:]))
	if size <= nameAt || size > len(b) {
		return nil, 0, 0
	}
	name, _, ok := bytes.Cut(b[nameAt:size], []byte{0})
	if !ok || len(name) == 0 {
		return nil, 0, 0
	}
	return name, b[18], size
}
