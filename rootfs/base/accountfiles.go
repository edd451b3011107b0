package base

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// maxAccountFile limits the account files that New appends to.
const maxAccountFile = 4 << 20

// accountFile is /etc/passwd or /etc/group while New appends lines.
type accountFile struct {
	path        string
	kind        string // "user" or "group"
	content     []byte
	fromProfile bool              // a profile has one
	lower       *rootfs.Entry     // the base image's, to which the others are appended
	broken      error             // why nothing can be appended
	ids         map[string]string // "uid:gid" of users or "gid" of groups, by name
	added       []string          // names of the appended lines
}

// makeAccounts makes /etc/passwd, /etc/group, /etc/nsswitch.conf and the users' homes.
func (b *builder) makeAccounts(o Options) error {
	passwd := b.newAccountFile("etc/passwd", "user", "root:x:0:0:root:/root:/bin/sh\n"+
		"nobody:x:65534:65534:nobody:/var/empty:/bin/false\n")
	group := b.newAccountFile("etc/group", "group", "root:x:0:\nnobody:x:65534:\n")
	users, err := o.allUsers()
	if err != nil {
		return err
	}

	var errs []error
	for _, a := range users {
		ids := fmt.Sprintf("%d:%d", a.UID, a.GID)
		errs = append(errs, passwd.append(a.Name, ids, fmt.Sprintf("%s:x:%s:%s:%s:%s\n", a.Name, ids, a.Name, a.Home, a.Shell)))
	}
	for _, g := range o.Groups {
		if had, ok := group.ids[g.Name]; ok && had == fmt.Sprint(g.GID) && len(g.Members) > 0 {
			errs = append(errs, fmt.Errorf("group %q: %s already has it, and its members cannot change", g.Name, group.path))
			continue
		}
		errs = append(errs, group.append(g.Name, fmt.Sprint(g.GID),
			fmt.Sprintf("%s:x:%d:%s\n", g.Name, g.GID, strings.Join(g.Members, ","))))
		for _, m := range g.Members {
			if _, ok := passwd.ids[m]; !ok {
				errs = append(errs, fmt.Errorf("group %q: there is no user %q", g.Name, m))
			}
		}
	}
	for _, a := range users {
		gid := fmt.Sprint(a.GID)
		if group.hasID(gid) {
			continue
		}
		if had, ok := group.ids[a.Name]; ok {
			b.note("group %d of user %q has no name: group %q is %s already", a.GID, a.Name, a.Name, had)
			continue
		}
		errs = append(errs, group.append(a.Name, gid, fmt.Sprintf("%s:x:%s:\n", a.Name, gid)))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, a := range users {
		if slices.Contains(passwd.added, a.Name) { // an existing line may name another home
			b.makeHome(a)
		}
	}
	b.writeAccounts(passwd)
	b.writeAccounts(group)
	b.putFile("etc/nsswitch.conf", []byte("passwd: files\ngroup: files\nhosts: files dns\n"))
	return nil
}

// allUsers returns the users that need an account, each name once.
func (o Options) allUsers() ([]Account, error) {
	var all []Account
	switch o.User.Name {
	case "", root.Name, nobody.Name:
	default:
		all = append(all, Account{o.User, "/home/" + o.User.Name, defaultShell})
	}
	seen := make(map[string]bool)
	var errs []error
	for _, a := range o.Users {
		switch {
		case seen[a.Name]:
			errs = append(errs, fmt.Errorf("user %q is added twice", a.Name))
		case a.Name == o.User.Name && a.User != o.User:
			errs = append(errs, fmt.Errorf("user %q is added as %s, but the image's user is %s", a.Name, a.ID(), o.User.ID()))
		case a.Name == o.User.Name:
			all[0] = a
		default:
			all = append(all, a)
		}
		seen[a.Name] = true
	}
	seen = make(map[string]bool)
	for _, g := range o.Groups {
		if seen[g.Name] {
			errs = append(errs, fmt.Errorf("group %q is added twice", g.Name))
		}
		seen[g.Name] = true
	}
	return all, errors.Join(errs...)
}

// newAccountFile returns the profile's file, or one with the given content, merged with the base image's.
func (b *builder) newAccountFile(path, kind, content string) *accountFile {
	f := &accountFile{path: path, kind: kind, content: []byte(content), ids: make(map[string]string)}
	if had, ok := b.get(path); ok {
		f.fromProfile = true
		if f.content, f.broken = b.readProfileAccounts(had); f.broken != nil {
			f.broken = fmt.Errorf("append to the profile's %s: %w", path, f.broken)
		}
	}
	b.mergeLower(f)
	for line := range strings.Lines(string(f.content)) {
		switch fields := strings.Split(strings.TrimSuffix(line, "\n"), ":"); {
		case len(fields) < 4:
		case kind == "group":
			f.ids[fields[0]] = fields[2]
		default:
			f.ids[fields[0]] = fields[2] + ":" + fields[3]
		}
	}
	return f
}

// readProfileAccounts reads the account file that an entry from a profile links to.
func (b *builder) readProfileAccounts(had rootfs.Entry) ([]byte, error) {
	if !had.IsLink() {
		return nil, errors.New("it is a directory")
	}
	e, err := b.view.Stat(strings.TrimPrefix(had.Target, "/"))
	if err != nil {
		return nil, err
	}
	if e.Size > maxAccountFile {
		return nil, fmt.Errorf("%q has more than %d bytes", "/"+e.Path, maxAccountFile)
	}
	read, err := b.view.Read(maxAccountFile, e.Path)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(read[e.Path]), nil
}

// append appends a line, unless the file has one with that name and the same numbers.
func (f *accountFile) append(name, ids, line string) error {
	if f.broken != nil {
		return f.broken
	}
	if had, ok := f.ids[name]; ok && had != ids {
		of := "every image has it as"
		if f.lower != nil {
			of = "the base image's " + f.path + " has it as"
		} else if f.fromProfile {
			of = "the profile's " + f.path + " has it as"
		}
		return fmt.Errorf("%s %q cannot be %s: %s %s", f.kind, name, ids, of, had)
	} else if ok {
		return nil
	}
	f.appendLine(line)
	f.ids[name] = ids
	f.added = append(f.added, name)
	return nil
}

// hasID reports whether any name has that number.
func (f *accountFile) hasID(id string) bool {
	for _, had := range f.ids {
		if had == id {
			return true
		}
	}
	return false
}

// writeAccounts puts the file. It replaces a profile's file only if lines were added.
func (b *builder) writeAccounts(f *accountFile) {
	if f.lower != nil {
		b.writeAccountsOver(f)
		return
	}
	if f.fromProfile && len(f.added) > 0 {
		b.note("%q is the profile's with %s %q added", "/"+f.path, f.kind, f.added)
		b.files.Remove(b.place(f.path))
	}
	b.putFile(f.path, f.content)
}

// makeHome makes a user's home, unless the path exists.
func (b *builder) makeHome(a Account) {
	path := strings.TrimPrefix(a.Home, "/")
	if path == "" || b.has(path) || b.inLower(path) {
		return
	}
	e := rootfs.Dir(path, 0o755)
	e.UID, e.GID = a.UID, a.GID
	b.putOver(e)
}

// noteIDs adds a note for each number that rootless podman cannot map.
func (b *builder) noteIDs(o Options) {
	note := func(kind, name string, id int) {
		if id > rootfs.MaxRootlessID {
			b.note("%s %q is %d: rootless podman has no ids above %d by default", kind, name, id, rootfs.MaxRootlessID)
		}
	}
	for _, u := range append([]Account{{User: o.User}}, o.Users...) {
		note("user", u.Name, u.UID)
		if u.GID != u.UID {
			note("group of user", u.Name, u.GID)
		}
	}
	for _, g := range o.Groups {
		note("group", g.Name, g.GID)
	}
}
