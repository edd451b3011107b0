package base

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// Account is a user with a line of its own in /etc/passwd.
type Account struct {
	User
	Home  string // absolute; New makes it if it does not exist, owned by the user
	Shell string // absolute
}

// Group is a line of /etc/group.
type Group struct {
	Name    string
	GID     int
	Members []string // names of users besides those whose GID it is
}

const defaultShell = "/bin/sh"

// ParseAccount parses NAME:UID[:GID][:HOME[:SHELL]]. The slash at the beginning of HOME tells it from GID.
// By default GID is the same number as UID, HOME is /home/NAME, and SHELL is /bin/sh.
func ParseAccount(s string) (Account, error) {
	fail := func(format string, args ...any) (Account, error) {
		return Account{}, fmt.Errorf("user %q: "+format+"; want NAME:UID[:GID][:HOME[:SHELL]], as in nginx:101:101:/var/lib/nginx",
			append([]any{s}, args...)...)
	}
	fields := strings.Split(s, ":")
	if len(fields) < 2 {
		return fail("has no number")
	}
	a := Account{User: User{Name: fields[0]}, Home: "/home/" + fields[0], Shell: defaultShell}
	if err := checkUserName(a.Name); err != nil {
		return fail("%w", err)
	}
	var err error
	if a.UID, err = rootfs.ParseID(fields[1]); err != nil {
		return fail("%w", err)
	}
	a.GID = a.UID
	fields = fields[2:]
	if len(fields) > 0 && !strings.HasPrefix(fields[0], "/") {
		if a.GID, err = rootfs.ParseID(fields[0]); err != nil {
			return fail("%w", err)
		}
		fields = fields[1:]
	}
	if len(fields) > 2 {
		return fail("has too many fields")
	}
	for i, f := range fields {
		if err := checkHome(f); err != nil {
			return fail("%w", err)
		}
		if i == 0 {
			a.Home = f
		} else {
			a.Shell = f
		}
	}
	if (rootfs.StoreDir{}).Holds(a.Home[1:]) {
		return fail("a home cannot be in the store")
	}
	if own, ok := builtinUser(a.Name); ok {
		return fail("every image has %s as %s", own.Name, own.ID())
	}
	return a, nil
}

// ParseGroup parses NAME:GID[:MEMBER,…].
func ParseGroup(s string) (Group, error) {
	fail := func(err error) (Group, error) {
		return Group{}, fmt.Errorf("group %q: %w; want NAME:GID[:MEMBER,…], as in www:33:nginx", s, err)
	}
	fields := strings.Split(s, ":")
	if len(fields) < 2 || len(fields) > 3 {
		return fail(fmt.Errorf("has %d fields", len(fields)))
	}
	g := Group{Name: fields[0]}
	if err := checkUserName(g.Name); err != nil {
		return fail(err)
	}
	var err error
	if g.GID, err = rootfs.ParseID(fields[1]); err != nil {
		return fail(err)
	}
	if len(fields) == 3 {
		for member := range strings.SplitSeq(fields[2], ",") {
			if err := checkUserName(member); err != nil {
				return fail(err)
			}
			if slices.Contains(g.Members, member) {
				return fail(fmt.Errorf("has the member %q twice", member))
			}
			g.Members = append(g.Members, member)
		}
	}
	if own, ok := builtinUser(g.Name); ok {
		return fail(fmt.Errorf("every image has %s as %d", own.Name, own.GID))
	}
	return g, nil
}

// checkHome accepts clean absolute paths that fit into a line of /etc/passwd.
func checkHome(path string) error {
	if path == "/" {
		return nil
	}
	if !strings.HasPrefix(path, "/") {
		return fmt.Errorf("%q is not an absolute path", path)
	}
	for name := range strings.SplitSeq(path[1:], "/") {
		if err := rootfs.CheckName(name); err != nil {
			return fmt.Errorf("path %q: %w", path, err)
		}
	}
	for _, c := range []byte(path) {
		if c < ' ' || c == 0x7f {
			return errors.New("control character in a path")
		}
	}
	return nil
}
