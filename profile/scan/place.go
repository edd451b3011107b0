package scan

import (
	"fmt"
	"path"
	"strings"

	"github.com/export-profile/export-profile/profile"
)

// maxPlace limits the length of a store directory that storePlace recognises.
const maxPlace = 64

// storePlace collects the store directories in which the files of an object place other objects.
type storePlace struct {
	dir     profile.StoreDir // of the objects
	own     bool             // somewhere it is dir
	foreign string           // the first other directory
	path    profile.Path     // what is placed there
}

// add adds a digest that follows the bytes before.
func (s *storePlace) add(before []byte, p profile.Path) {
	if s.own || len(before) == 0 || before[len(before)-1] != '/' {
		return
	}
	before = before[max(0, len(before)-maxPlace):]
	begin := len(before)
	for begin > 0 && isPathByte(before[begin-1]) {
		begin--
	}
	dir := string(before[begin:])
	if strings.HasPrefix(dir, "-") { // a flag, as in -L/nix/store/…
		dir = dir[strings.IndexByte(dir, '/'):]
	}
	absolute := strings.HasPrefix(dir, "/") && (begin > 0 || len(before) < maxPlace)
	dir = path.Clean("/" + dir)
	switch own := s.dir.String(); {
	case dir == own, !absolute && strings.HasSuffix(dir, own):
		s.own = true
	case absolute && s.foreign == "" && path.Base(dir) == path.Base(own):
		s.foreign, s.path = dir, p
	}
}

func isPathByte(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.IndexByte("/+-._", c) >= 0
}

// PlaceError reports an object whose files name others in another store directory only.
type PlaceError struct {
	Name     string // in a file
	Dir      string // the directory there
	StoreDir profile.StoreDir
}

func (e *PlaceError) Error() string {
	return fmt.Sprintf("it names %q, but the store directory is %s", e.Name, e.StoreDir)
}

// check returns an error if the object places others in another store directory only.
func (s *storePlace) check() error {
	if s.own || s.foreign == "" {
		return nil
	}
	return &PlaceError{s.foreign + "/" + s.path.Base(), s.foreign, s.dir}
}
