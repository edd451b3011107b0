package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// Word is the kind of a change, named as its flag.
type Word string

const (
	Add      Word = "add"      // adds a file, or the contents of a directory or a tar
	Mkdir    Word = "mkdir"    // makes a directory
	Symlink  Word = "symlink"  // makes a symbolic link
	Whiteout Word = "whiteout" // hides a path of the layers below
)

// Change is one change that a user makes to an image.
type Change struct {
	Word   Word
	Source string // for Add: a file name on this machine, or "-"
	Target string // for Symlink: verbatim
	Place  string // path in the image, absolute and clean
	Into   bool   // the user wrote Place with a slash at its end

	HasMode  bool
	Mode     fs.FileMode // permissions, fs.ModeSticky, fs.ModeSetuid and fs.ModeSetgid
	HasOwner bool
	UID      int
	GID      int
}

// Standard is the Source that means standard input.
const Standard = "-"

// examples show the syntax of each change in its parse errors.
var examples = map[Word]string{
	Add:      "want SRC:DST[:MODE[:UID[:GID]]], as in nginx.conf:/etc/nginx/nginx.conf:0644",
	Mkdir:    "want DST[:MODE[:UID[:GID]]], as in /var/lib/app:0750:1000",
	Symlink:  "want TARGET:DST, as in /proc/self/mounts:/etc/mtab",
	Whiteout: "want DST, as in /etc/motd",
}

// ParseAdd parses SRC:DST[:MODE[:UID[:GID]]].
// A colon in a path is written \: and a backslash before a colon or a backslash \\.
// MODE is octal and may be empty. GID defaults to UID.
func ParseAdd(s string) (Change, error) {
	fields := split(s)
	c := Change{Word: Add, Source: fields[0]}
	switch {
	case c.Source == "":
		return fail(c, s, errors.New("no source"))
	case len(fields) < 2:
		return fail(c, s, errors.New("no place in the image"))
	case strings.IndexByte(c.Source, 0) >= 0:
		return fail(c, s, errors.New("a source's name contains NUL"))
	}
	return parsePlace(c, s, fields[1:], 4)
}

// ParseMkdir parses DST[:MODE[:UID[:GID]]] by the rules of [ParseAdd].
func ParseMkdir(s string) (Change, error) {
	return parsePlace(Change{Word: Mkdir}, s, split(s), 4)
}

// ParseSymlink parses TARGET:DST by the rules of [ParseAdd].
func ParseSymlink(s string) (Change, error) {
	fields := split(s)
	c := Change{Word: Symlink, Target: fields[0]}
	if len(fields) < 2 {
		return fail(c, s, errors.New("no place in the image"))
	}
	if err := rootfs.CheckTarget(c.Target); err != nil {
		return fail(c, s, err)
	}
	return parsePlace(c, s, fields[1:], 1)
}

// ParseWhiteout parses DST by the rules of [ParseAdd].
func ParseWhiteout(s string) (Change, error) {
	return parsePlace(Change{Word: Whiteout}, s, split(s), 1)
}

func fail(c Change, s string, err error) (Change, error) {
	return Change{}, fmt.Errorf("%s %q: %w; %s", c.Word, s, err, examples[c.Word])
}

// split splits s at unescaped colons.
func split(s string) []string {
	fields := []string{""}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == ':' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case s[i] == ':':
			fields[len(fields)-1] = b.String()
			fields = append(fields, "")
			b.Reset()
		default:
			b.WriteByte(s[i])
		}
	}
	fields[len(fields)-1] = b.String()
	return fields
}

var escaper = strings.NewReplacer(`\`, `\\`, `:`, `\:`)

// parsePlace parses DST[:MODE[:UID[:GID]]] from at most most fields.
func parsePlace(c Change, s string, fields []string, most int) (Change, error) {
	if len(fields) > most {
		return fail(c, s, errors.New(`too many fields (a colon in a path is written \:)`))
	}
	if err := c.setPlace(fields[0]); err != nil {
		return fail(c, s, err)
	}
	if len(fields) > 1 && (fields[1] != "" || len(fields) == 2) {
		mode, err := parseMode(fields[1])
		if err != nil {
			return fail(c, s, err)
		}
		if c.Word == Mkdir && mode&fs.ModeSetuid != 0 {
			return fail(c, s, errors.New("a directory cannot be setuid"))
		}
		c.HasMode, c.Mode = true, mode
	}
	if len(fields) > 2 {
		uid, gid, err := parseOwner(fields[2:])
		if err != nil {
			return fail(c, s, err)
		}
		c.HasOwner, c.UID, c.GID = true, uid, gid
	}
	return c, nil
}

func (c *Change) setPlace(dst string) error {
	if !strings.HasPrefix(dst, "/") {
		return fmt.Errorf("%q is not an absolute path of the image", dst)
	}
	for name := range strings.SplitSeq(dst, "/") {
		switch {
		case name == "" || name == ".":
			continue
		case strings.HasPrefix(name, whiteoutPrefix):
			return fmt.Errorf("%q: %w", dst, errWhiteoutName)
		}
		if err := rootfs.CheckName(name); err != nil {
			return fmt.Errorf("%q: %w", dst, err)
		}
	}
	c.Place = path.Clean(dst)
	c.Into = strings.HasSuffix(dst, "/") || c.Place == "/"
	switch {
	case c.Place == "/" && c.Word != Add:
		return errors.New("the root of the image cannot be changed")
	case c.Into && (c.Word == Symlink || c.Word == Whiteout):
		return fmt.Errorf("%q: want a name at the end, not a slash", dst)
	case c.Word == Mkdir:
		c.Into = false
	}
	if strings.Count(c.Place, "/") > rootfs.MaxDepth {
		return fmt.Errorf("deeper than %d directories", rootfs.MaxDepth)
	}
	return nil
}

// parseMode parses an octal mode, including setuid, setgid and sticky.
func parseMode(s string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o7777 {
		return 0, fmt.Errorf("mode %q is not octal, like 0644 or 1777", s)
	}
	return rootfs.FileMode(uint32(n)), nil
}

// formatMode inverts parseMode.
func formatMode(mode fs.FileMode) string { return fmt.Sprintf("%04o", rootfs.UnixMode(mode)) }

// parseOwner parses UID, or UID and GID.
func parseOwner(fields []string) (uid, gid int, err error) {
	for i, f := range fields {
		if gid, err = rootfs.ParseID(f); err != nil {
			return 0, 0, err
		}
		if i == 0 {
			uid = gid
		}
	}
	return uid, gid, nil
}

// String returns the change as the Parse functions read it, without the word.
func (c Change) String() string {
	s := escaper.Replace(c.Place)
	if c.Into && c.Place != "/" {
		s += "/"
	}
	switch c.Word {
	case Add:
		s = escaper.Replace(c.Source) + ":" + s
	case Symlink:
		s = escaper.Replace(c.Target) + ":" + s
	}
	switch {
	case c.HasMode:
		s += ":" + formatMode(c.Mode)
	case c.HasOwner:
		s += ":"
	}
	if c.HasOwner {
		s += fmt.Sprintf(":%d:%d", c.UID, c.GID)
	}
	return s
}

// Title names a change by its place in the image. It contains no path of this machine.
func (c Change) Title() string {
	place := c.Place
	if c.Into && place != "/" {
		place += "/"
	}
	return string(c.Word) + " " + place
}

// typed returns a change as the user typed it, for messages: it tells two sources of one place apart.
func (c Change) typed() string { return string(c.Word) + " " + c.String() }
