// Package history writes and reads the history entries of this program's layers. An entry names the parts that a layer holds
// and the parts of lower layers that it hides. It survives a push, so a later image can be planned from it.
//
// [Parse] accepts exactly the comments that [NewEntry] writes, byte for byte.
// An entry never names a version of this program, so a release changes no image.
// NewEntry refuses parts that an entry cannot represent. Parse refuses entries that fit no layer of this program.
package history

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/rootfs"
)

// Object is a part of a layer, as the image's history names it.
type Object struct {
	Name string // the base name of a store path, or "base"
	Hash string // the first 12 hexadecimal digits of the part's key; empty without a key
	Size int64  // size of the part; for a store object, of its NAR
	// Changed says that the image's maker changed the store object on purpose.
	// The hash and the size are then not those of a NAR.
	Changed bool
}

// Claim is what an image's history says about a layer.
// Its text form is the comment of the layer's entry: words that are separated by single spaces.
//
//	/DIR             the store directory, if it is not /nix/store
//	NAME@HASH:SIZE   the layer holds this part
//	NAME:SIZE        the layer holds this part, which has no key
//	…:changed        behind either: the part is a store object that was changed on purpose
//	-NAME            the layer hides the store object of that name in the layers below
//
// A layer with changes lists them in the entry's created_by, behind the program's name.
// Its comment has the same form, but does not list what the layer hides.
type Claim struct {
	StoreDir rootfs.StoreDir
	Top      bool     // a layer with changes, on top of the planned ones
	Objects  []Object // in path order, the base part first
	Hidden   []string // base names of store paths, sorted
}

// createdBy marks every layer of this program. It has no version, so that a release changes no image.
const createdBy = "export-profile"

// topMark follows createdBy in the entry of a layer with changes.
const topMark = ": "

const hashDigits = 12

// changedMark ends the word of an object that was changed on purpose.
const changedMark = ":changed"

// BaseName is the name of the part whose root is empty.
const BaseName = "base"

// ErrForeign is wrapped by errors about layers that another program made,
// and about images with such layers that cannot serve as the previous image.
var ErrForeign = errors.New("not made by this program")

// Names are printable ASCII without space, /, @ and :. They do not begin with a dash, nor with a dot,
// since some of those would be whiteouts with another meaning.
var (
	objectPattern = regexp.MustCompile(`^([!-,0-9;-?A-~][!-.0-9;-?A-~]*)(?:@([0-9a-f]{12}))?:(0|[1-9][0-9]{0,18})(:changed)?$`)
	hiddenPattern = regexp.MustCompile(`^-([!-,0-9;-?A-~][!-.0-9;-?A-~]*)$`)
)

// Hash shortens a part's key to the digits that a history entry has. It returns "" if there is no key.
func Hash(key string) string {
	if hex, ok := strings.CutPrefix(key, "sha256:"); ok && len(hex) >= hashDigits {
		return hex[:hashDigits]
	}
	return ""
}

// String returns the object's word in a comment.
func (o Object) String() string { return string(o.appendTo(nil)) }

func (o Object) appendTo(b []byte) []byte {
	b = append(b, o.Name...)
	if o.Hash != "" {
		b = append(append(b, '@'), o.Hash...)
	}
	b = strconv.AppendInt(append(b, ':'), o.Size, 10)
	if o.Changed {
		b = append(b, changedMark...)
	}
	return b
}

// representable reports whether the object's word matches objectPattern.
// It does not use the pattern, which takes a tenth of a run in which 10,000 store paths have not changed.
func (o Object) representable() bool {
	if o.Name == "" || strings.IndexByte("-.", o.Name[0]) >= 0 || o.Size < 0 || o.Hash != "" && len(o.Hash) != hashDigits {
		return false
	}
	for _, c := range []byte(o.Name) {
		if c <= ' ' || c > '~' || c == '/' || c == ':' || c == '@' {
			return false
		}
	}
	for _, c := range []byte(o.Hash) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// String returns the text form of the claim.
func (c Claim) String() string {
	var text []byte // each word with a space in front of it
	if c.StoreDir != (rootfs.StoreDir{}) {
		text = append(append(text, ' '), c.StoreDir.String()...)
	}
	for _, o := range c.Objects {
		text = o.appendTo(append(text, ' '))
	}
	for _, name := range c.Hidden {
		text = append(append(text, " -"...), name...)
	}
	return string(text[min(1, len(text)):])
}

// ClaimOf returns the claim of a layer that holds parts and hides the parts at the hidden roots,
// in an image with that store directory.
func ClaimOf(store rootfs.StoreDir, parts []rootfs.Part, hidden []string) Claim {
	c := Claim{StoreDir: store, Objects: make([]Object, 0, len(parts))}
	for i := range parts {
		p := &parts[i]
		c.Objects = append(c.Objects, Object{p.Name, Hash(p.Key), p.Size, p.Changed})
	}
	for _, root := range hidden {
		c.Hidden = append(c.Hidden, path.Base(root))
	}
	return c
}

// NewEntry makes the entry of a layer that holds parts and hides the parts at the hidden roots.
// A layer with changes is on top of the planned ones. It may hide any path, and its entry does not list them.
func NewEntry(created time.Time, store rootfs.StoreDir, parts []rootfs.Part, hidden, changes []string) (ispec.History, error) {
	if len(changes) > 0 {
		hidden = nil
	}
	c := ClaimOf(store, parts, hidden)
	for _, o := range c.Objects {
		if !o.representable() {
			return ispec.History{}, fmt.Errorf("history of %q: its name, key or size is not representable", o)
		}
	}
	for i, name := range c.Hidden {
		if word := "-" + name; !hiddenPattern.MatchString(word) || hidden[i] != store.Object(name) {
			return ispec.History{}, fmt.Errorf("history of %q: only a store object can be hidden", hidden[i])
		}
	}
	return ispec.History{Created: &created, CreatedBy: createdBy + changesText(changes), Comment: c.String()}, nil
}

// maxChangesText limits the bytes of changes in a created_by.
const maxChangesText = 1 << 10

// changesText returns what follows the program's name in created_by.
func changesText(changes []string) string {
	var b strings.Builder
	for i, c := range changes {
		if !utf8.ValidString(c) || strings.ContainsFunc(c, func(r rune) bool { return !unicode.IsPrint(r) }) {
			c = strconv.Quote(c)
		}
		if b.Len()+len(c) > maxChangesText && i > 0 {
			fmt.Fprintf(&b, ", and %d more", len(changes)-i)
			break
		}
		if i == 0 {
			b.WriteString(topMark)
		} else {
			b.WriteString(", ")
		}
		b.WriteString(c)
	}
	return b.String()
}

// Parse reads a layer's entry in an image's history.
// The error wraps ErrForeign if another program made the entry. A damaged entry gives another error.
func Parse(entry ispec.History) (Claim, error) {
	c := Claim{Top: strings.HasPrefix(entry.CreatedBy, createdBy+topMark)}
	switch {
	case entry.CreatedBy != createdBy && !c.Top:
		return c, fmt.Errorf("history of %q: %w", entry.CreatedBy, ErrForeign)
	case entry.EmptyLayer:
		return c, errors.New("history: an entry without a layer")
	case entry.Comment == "":
		return c, nil
	}
	words := entry.Comment
	if words[0] == '/' {
		name, rest, _ := strings.Cut(words, " ")
		dir, err := rootfs.ParseStoreDir(name)
		if err == nil && dir == (rootfs.StoreDir{}) {
			err = errors.New("it is not named in a history")
		}
		if err != nil {
			return Claim{}, fmt.Errorf("history: store directory %q: %w", name, err)
		}
		if c.StoreDir, words = dir, rest; words == "" {
			if entry.Comment != name { // a space at the end
				return Claim{}, fmt.Errorf("history: %q does not name an object", words)
			}
			return c, nil
		}
	}
	for word := range strings.SplitSeq(words, " ") {
		if m := hiddenPattern.FindStringSubmatch(word); m != nil && !c.Top {
			c.Hidden = append(c.Hidden, m[1])
			continue
		}
		m := objectPattern.FindStringSubmatch(word)
		if m == nil || len(c.Hidden) > 0 {
			return Claim{}, fmt.Errorf("history: %q does not name an object", word)
		}
		size, err := strconv.ParseInt(m[3], 10, 64)
		if err != nil {
			return Claim{}, fmt.Errorf("history: size of %q: %w", word, err)
		}
		c.Objects = append(c.Objects, Object{m[1], m[2], size, m[4] != ""})
	}
	return c, c.Check()
}

// Check refuses claims that fit no layer of this program: it holds something twice, or hides what it holds.
func (c Claim) Check() error {
	seen := make(map[string]bool, len(c.Objects)+len(c.Hidden))
	for _, o := range c.Objects {
		if o.Changed && o.Name == BaseName {
			return errors.New("history: only a store object can be changed")
		}
		if seen[o.Name] {
			return fmt.Errorf("history: the layer holds %q twice", o.Name)
		}
		seen[o.Name] = true
	}
	for _, name := range c.Hidden {
		if seen[name] || name == BaseName {
			return fmt.Errorf("history: the layer cannot hide %q", name)
		}
		seen[name] = true
	}
	return nil
}

// StoreDirOf returns the store directory that the claims about an image's layers name, or /nix/store.
// Claims about layers of other programs are nil. The error is for two store directories: an object of one
// would count as that of the other, under the same name.
func StoreDirOf(claims []*Claim) (dir rootfs.StoreDir, err error) {
	first := 0
	for i, c := range claims {
		switch {
		case c == nil:
		case first == 0:
			dir, first = c.StoreDir, i+1
		case c.StoreDir != dir && err == nil:
			err = fmt.Errorf("history: layer %d has the store directory %s, but layer %d has %s", i+1, c.StoreDir, first, dir)
		}
	}
	return dir, err
}

// Holds reports whether the layer holds an object of that name.
func (c Claim) Holds(name string) bool {
	return slices.ContainsFunc(c.Objects, func(o Object) bool { return o.Name == name })
}
