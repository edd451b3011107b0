package base

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

const passwdPath = "etc/passwd"

// Layer is laid over an image's base files.
type Layer struct {
	Part   rootfs.Part
	Hidden []string // paths that it hides
}

// ReadPasswd reads /etc/passwd of an image: of the uppermost of the layers that has one, else of the base files,
// else of the base image lower, which may be nil. The error wraps fs.ErrNotExist if the image has none.
func ReadPasswd(v *rootfs.View, lower *rootfs.Lower, files rootfs.Part, layers []Layer) ([]byte, error) {
	place, err := lower.Place(passwdPath)
	if err != nil {
		place = passwdPath
	}
	all := append([]Layer{{Part: files}}, layers...)
	for i := len(all) - 1; i >= 0; i-- {
		for e, err := range all[i].Part.Tree {
			if err != nil {
				return nil, err
			}
			if e.Path == place {
				return readPasswd(v, e)
			}
		}
		for _, hidden := range all[i].Hidden {
			if rootfs.Within(hidden, place) {
				return nil, fs.ErrNotExist
			}
		}
	}
	b := builder{lower: lower}
	return b.readLower(passwdPath, maxAccountFile)
}

// readPasswd reads a file, or the file of the store to which a link leads.
func readPasswd(v *rootfs.View, e rootfs.Entry) (content []byte, err error) {
	switch {
	case e.IsLink():
		b := builder{view: v}
		return b.readProfileAccounts(e)
	case !e.IsRegular():
		return nil, errors.New("it is a directory")
	}
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	content, err = io.ReadAll(io.LimitReader(r, maxAccountFile+1))
	if err == nil && len(content) > maxAccountFile {
		err = fmt.Errorf("it has more than %d bytes", maxAccountFile)
	}
	return content, err
}

// unknownUserError reports a user that is not in /etc/passwd.
type unknownUserError struct {
	Name  string
	Known []string // the names that are, the first of them if there are many
	More  int      // how many others there are
}

func (e *unknownUserError) Error() string {
	switch {
	case len(e.Known) == 0:
		return fmt.Sprintf("user %q: the image's /etc/passwd has no users", e.Name)
	case e.More > 0:
		return fmt.Sprintf("user %q: the image's /etc/passwd does not have it, only %q and %d more", e.Name, e.Known, e.More)
	}
	return fmt.Sprintf("user %q: the image's /etc/passwd does not have it, only %q", e.Name, e.Known)
}

// mostKnown limits the names in an unknownUserError.
const mostKnown = 30

// FindUser looks up a name in /etc/passwd. It takes the first line of that name, as container runtimes do.
// Without a line, root and nobody have the numbers that every image gives them; another name is an error.
func FindUser(name string, passwd []byte) (User, error) {
	unknown := &unknownUserError{Name: name}
	for u := range users(passwd) {
		switch {
		case u.Name == name:
			return u, nil
		case slices.Contains(unknown.Known, u.Name):
		case len(unknown.Known) < mostKnown:
			unknown.Known = append(unknown.Known, u.Name)
		default:
			unknown.More++
		}
	}
	if own, ok := builtinUser(name); ok {
		return own, nil
	}
	return User{}, unknown
}

// FindID looks up a number in /etc/passwd.
func FindID(uid int, passwd []byte) (User, bool) {
	for u := range users(passwd) {
		if u.UID == uid {
			return u, true
		}
	}
	return User{}, false
}

// longestUser limits the names that a message may have. Linux itself allows 32 bytes, and directory services more.
const longestUser = 256

// users yields the users of /etc/passwd. It skips lines that no user can have.
func users(passwd []byte) iter.Seq[User] {
	return func(yield func(User) bool) {
		for line := range strings.Lines(string(passwd)) {
			fields := strings.Split(strings.TrimSpace(line), ":")
			if len(fields) < 4 || len(fields[0]) > longestUser {
				continue
			}
			uid, err := rootfs.ParseID(fields[2])
			gid, err2 := rootfs.ParseID(fields[3])
			if err == nil && err2 == nil && !yield(User{fields[0], uid, gid}) {
				return
			}
		}
	}
}
