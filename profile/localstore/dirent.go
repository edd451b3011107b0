package localstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/profile/casehack"
)

// directory holds the entries of a directory, sorted by the bytes of their names.
// There can be a million of them. So each takes two bytes besides its name, and four for its place in the order.
// Of a directory whose names have more than mostHeld bytes, it holds only a range at a time; see ranges.
type directory struct {
	chunks [][]byte // of whole records: the kind of an entry and the length of its name, a byte each, and the name
	order  []uint32 // where the records are: index of the chunk and offset in it, 16 bits each
	// restored says that entries are shown with the names that they had before Nix changed them; see package casehack.
	restored bool
	changed  string  // the first name that looks as if Nix has changed it, or ""
	ranges   *ranges // nil if all entries are held
}

const (
	chunkSize = 1 << 16
	maxChunks = 1 << 16
)

// at returns an entry's name on disk and its kind: unix.DT_DIR and so on, or unix.DT_UNKNOWN if the file system does not tell.
func (l *directory) at(i int) (name []byte, kind uint8) {
	r := l.chunks[l.order[i]>>16][l.order[i]&0xffff:]
	return r[2:][:r[1]], r[0]
}

// sort finds the records in the chunks, and sorts them by the names that they are shown with.
func (l *directory) sort(count int) {
	l.order = make([]uint32, 0, count)
	for i, chunk := range l.chunks {
		for at := 0; at < len(chunk); at += 2 + int(chunk[at+1]) {
			l.order = append(l.order, uint32(i<<16|at))
		}
	}
	key := func(at uint32) []byte {
		r := l.chunks[at>>16][at&0xffff:]
		return r[2:][:r[1]]
	}
	if l.restored {
		raw := key
		key = func(at uint32) []byte { return l.key(raw(at)) }
	}
	slices.SortFunc(l.order, func(a, b uint32) int { return bytes.Compare(key(a), key(b)) })
}

// key returns the name that an entry is shown with.
func (l *directory) key(name []byte) []byte {
	if l.restored {
		return []byte(shown(string(name)))
	}
	return name
}

// restoreNames shows the entries with their original names.
func (l *directory) restoreNames() {
	l.restored = true
	if l.ranges == nil {
		l.sort(len(l.order))
	}
}

// add adds an entry.
func (l *directory) add(name []byte, kind uint8) error {
	last := len(l.chunks) - 1
	if last < 0 || len(l.chunks[last])+2+len(name) > chunkSize {
		if len(l.chunks) == maxChunks {
			return errors.New("has too many entries")
		}
		var chunk []byte // grows, as most directories are small
		if last >= 0 {
			chunk = make([]byte, 0, chunkSize)
		}
		l.chunks = append(l.chunks, chunk)
		last++
	}
	l.chunks[last] = append(append(l.chunks[last], kind, uint8(len(name))), name...)
	return nil
}

// list reads the entries of a directory. If there are too many to hold, it only finds the ranges, for [directory.nextRange].
// The directory usually tells the kinds of entries, which saves one system call per entry.
func list(fd int, buf []byte) (directory, error) {
	var l directory
	count, held := 0, 0
	err := eachDirent(fd, buf, func(name []byte, kind uint8) error {
		if looksChanged(name) && (l.changed == "" || string(name) < l.changed) {
			l.changed = string(name)
		}
		if l.ranges != nil {
			l.ranges.note(name)
			return nil
		}
		if err := l.add(name, kind); err != nil {
			return err
		}
		count++
		if held += 2 + len(name); held > mostHeld {
			l.ranges = newRanges(&l)
			l.chunks = nil
		}
		return nil
	})
	if err != nil {
		return l, err
	}
	if l.ranges != nil {
		l.ranges.divide()
		return l, nil
	}
	l.sort(count)
	return l, nil
}

// looksChanged reports whether Nix may have changed a name.
func looksChanged(name []byte) bool {
	if bytes.IndexByte(name, '~') < 0 {
		return false
	}
	_, changed := casehack.Original(string(name))
	return changed
}

// shown returns the original name of a file.
func shown(name string) string {
	if original, changed := casehack.Original(name); changed {
		return original
	}
	return name
}

// eachDirent calls do with each entry of a directory but . and .., in no order. The name is valid until do returns.
func eachDirent(fd int, buf []byte, do func(name []byte, kind uint8) error) error {
	for {
		var n int
		err := retryEINTR(func() (err error) { n, err = unix.Getdents(fd, buf); return err })
		if n == 0 || err != nil {
			return err
		}
		for rest := buf[:n]; len(rest) > 0; {
			name, kind, size := parseDirent(rest)
			if size == 0 || len(name) > 255 {
				return errors.New("unreadable directory entry")
			}
			rest = rest[size:]
			if string(name) == "." || string(name) == ".." {
				continue
			}
			if err := do(name, kind); err != nil {
				return err
			}
		}
	}
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
