package localstore

import (
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/profile"
)

// lost reports whether the store directory has no file for an object.
// After some objects, it lists the directory if that costs less than to ask for as many again.
func (s *Store) lost(p profile.Path) bool {
	if n := s.asked.Add(1); n > 64 && int(n) > len(s.db.objects)/16 {
		if there := s.present(); there != nil {
			i, ok := s.db.byPath[p]
			return ok && !there[i]
		}
	}
	var st unix.Stat_t
	return unix.Fstatat(int(s.storeDir.Fd()), p.Base(), &st, unix.AT_SYMLINK_NOFOLLOW) == unix.ENOENT
}

// list lists the store directory, and returns which objects of the database are in it. It returns nil if it cannot.
func (s *Store) list() []bool {
	fd, err := openat(int(s.storeDir.Fd()), ".", unix.O_DIRECTORY)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	there := make([]bool, len(s.db.objects))
	path := []byte(s.dir.String() + "/")
	prefix := len(path)
	err = eachDirent(fd, make([]byte, 64<<10), func(name []byte, _ uint8) error {
		path = append(path[:prefix], name...)
		if i, ok := s.db.byPath[profile.Path(path)]; ok {
			there[i] = true
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return there
}

// absentError reports that an object does not exist. It wraps fs.ErrNotExist without its text.
type absentError struct {
	path profile.Path
	why  string
}

func (e *absentError) Error() string { return fmt.Sprintf("store path %q %s", e.path, e.why) }
func (e *absentError) Unwrap() error { return fs.ErrNotExist }

// lostError reports that the files of a registered object do not exist.
type lostError struct{ absentError }

func (e *lostError) Unwrap() []error { return []error{fs.ErrNotExist, profile.ErrNoFiles} }
