package startup

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// account is the user that the image runs as.
type account struct {
	uid    int
	groups []int
}

// may reports whether the user has a permission on an entry: 4 to read, 1 to execute or enter.
func (a account) may(e rootfs.Entry, permission uint32) bool {
	mode := uint32(e.Mode.Perm())
	switch {
	case a.uid == 0 && permission == 0o1 && !e.IsDir():
		return mode&0o111 != 0
	case a.uid == 0:
		return true
	case a.uid == e.UID:
		return mode&(permission<<6) != 0
	case slices.Contains(a.groups, e.GID):
		return mode&(permission<<3) != 0
	}
	return mode&permission != 0
}

// forUser returns the end of a message about a refused permission: nothing for root.
func (a account) forUser() string {
	if a.uid == 0 {
		return ""
	}
	return fmt.Sprintf(" for user %d", a.uid)
}

// readAccount looks up the config's User as runc, crun and podman do:
// a name must have a line in /etc/passwd, a number need not.
func (c *checker) readAccount() error {
	name, group, hasGroup := strings.Cut(c.config.User, ":")
	if name == "" {
		name = "0"
	}
	passwd, err := c.readAccounts("etc/passwd")
	if err != nil {
		return err
	}
	groups, err := c.readAccounts("etc/group")
	if err != nil {
		return err
	}
	uid, numeric := parseID(name)
	c.account.uid = uid
	account := name
	known := numeric
	for line := range passwd {
		if len(line) >= 4 && (line[0] == name || numeric && line[2] == name) {
			account, known = line[0], true
			c.account.uid, _ = parseID(line[2])
			if gid, ok := parseID(line[3]); ok {
				c.account.groups = append(c.account.groups, gid)
			}
			break
		}
	}
	if !known {
		c.errorf(User, c.config.User, fmt.Sprintf("no user %q in the image's /etc/passwd", name))
	}
	if !hasGroup || group == "" {
		for line := range groups {
			if len(line) >= 4 && slices.Contains(strings.Split(line[3], ","), account) {
				if gid, ok := parseID(line[2]); ok {
					c.account.groups = append(c.account.groups, gid)
				}
			}
		}
		if c.account.groups == nil {
			c.account.groups = []int{0}
		}
		return nil
	}
	gid, knownGroup := parseID(group)
	for line := range groups {
		if len(line) >= 3 && line[0] == group {
			gid, knownGroup = parseID(line[2])
		}
	}
	if !knownGroup {
		c.errorf(User, c.config.User, fmt.Sprintf("no group %q in the image's /etc/group", group))
	}
	c.account.groups = []int{gid}
	return nil
}

func parseID(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err == nil
}

// readAccounts returns the lines of an account file, each with its first five fields. A missing file has no lines.
// It keeps no line: a file of 64 MiB can have as many.
func (c *checker) readAccounts(name string) (iter.Seq[[]string], error) {
	e, err := c.stat(name)
	if err != nil || !e.IsRegular() || e.Other {
		return func(func([]string) bool) {}, nil
	}
	b, err := c.read(e, maxRead)
	if err != nil {
		return nil, err
	}
	text := string(b)
	return func(yield func([]string) bool) {
		var fields []string
		for line := range strings.Lines(text) {
			fields = fields[:0]
			for field := range strings.SplitSeq(strings.TrimSpace(line), ":") {
				if fields = append(fields, field); len(fields) == 5 {
					break
				}
			}
			if !yield(fields) {
				return
			}
		}
	}, nil
}
