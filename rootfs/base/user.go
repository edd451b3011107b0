package base

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// User is the user that an image runs as. The zero value is root.
type User struct {
	Name     string // empty if it has only numbers
	UID, GID int
}

// The accounts that every image has.
var (
	root   = User{Name: "root"}
	nobody = User{Name: "nobody", UID: 65534, GID: 65534} // owns nothing
)

// ParseUser parses NAME:UID[:GID], UID[:GID], or NAME. By default GID is the same number as UID.
// The numbers of a lone NAME are those of the image's /etc/passwd; see [FindUser].
// ParseUser returns byName for it, and numbers only for the names root and nobody.
func ParseUser(s string) (_ User, byName bool, err error) {
	fields := strings.Split(s, ":")
	var u User
	if !isNumber(fields[0]) {
		u.Name = fields[0]
		if err := checkUserName(u.Name); err != nil {
			return User{}, false, fmt.Errorf("user %q: %w", s, err)
		}
		fields = fields[1:]
		if len(fields) == 0 {
			if own, ok := builtinUser(u.Name); ok {
				u = own
			}
			return u, true, nil
		}
	}
	if len(fields) > 2 {
		return User{}, false, fmt.Errorf("user %q: want NAME, NAME:UID[:GID] or UID[:GID]", s)
	}
	for i, f := range fields {
		n, err := rootfs.ParseID(f)
		if err != nil {
			return User{}, false, fmt.Errorf("user %q: %w", s, err)
		}
		if i == 0 {
			u.UID = n
		}
		u.GID = n
	}
	if own, ok := builtinUser(u.Name); ok && u != own {
		return User{}, false, fmt.Errorf("user %q: %s is %s", s, own.Name, own.ID())
	}
	return u, false, nil
}

// builtinUser returns the user of that name, if every image has it.
func builtinUser(name string) (User, bool) {
	switch name {
	case root.Name:
		return root, true
	case nobody.Name:
		return nobody, true
	}
	return User{}, false
}

// ID returns the user as an image's config has it: numbers, which need no /etc/passwd.
func (u User) ID() string { return fmt.Sprintf("%d:%d", u.UID, u.GID) }

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}

// checkUserName accepts the names that useradd accepts by default.
func checkUserName(name string) error {
	for i, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', c == '_', 'A' <= c && c <= 'Z':
		case i > 0 && ('0' <= c && c <= '9' || c == '-' || c == '.'):
		default:
			return fmt.Errorf("illegal character %q in a user's name", c)
		}
	}
	if name == "" || len(name) > 32 {
		return fmt.Errorf("a user's name has 1 to 32 characters")
	}
	return nil
}
