// Package history is what an image's history says of each layer of this program's making: which parts it holds,
// and which of the layers below it makes invisible. It survives a push, so that a later image can be planned by it.
//
// What is read is what is written: a comment that [Parse] takes is, byte for byte, the one that [NewEntry] makes of the same parts.
// An entry never names a version of this program, so that a release changes no image.
// What is not representable is an error, and so is an entry that says what no layer of this program is.
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

// Object is a part of a layer as the image's history names it.
type Object struct {
	Name string // the base name of a store path, or "base"
	Hash string // the first 12 hexadecimal digits of its key; empty if it has none
	Size int64  // the part's: the NAR's size for a store object
}

// Claim is what an image's history says of a layer.
// Its text form is the comment of the layer's entry, words with a space between them:
//
//	NAME@HASH:SIZE   the layer holds it
//	NAME:SIZE        the same, of a part that has no key
//	-NAME            the layer makes it invisible: the store object of that name in the layers below
//
// A layer with changes has them in the entry's created_by, behind the program's name.
// Its comment is of the same form, without what it hides.
type Claim struct {
	Top     bool     // a layer with changes, on top of the planned ones
	Objects []Object // in path order, the base part first
	Hidden  []string // base names of store paths, sorted
}

// createdBy is in the history of every layer, without a version, so that a release changes no image.
const createdBy = "export-profile"

// topMark is behind it in the history of a layer with changes.
const topMark = ": "

const hashDigits = 12

// StoreDir is where all parts but the base part are.
const StoreDir = "nix/store"

// BaseName is the name of the part whose root is empty.
const BaseName = "base"

// ErrForeign is in the error of an image that cannot be planned by, since this program has not made all of it,
// and of a layer that another one has made.
var ErrForeign = errors.New("not of this program's making")

// Names are printable, without space, / @ and :, and do not begin with a dash, or with a dot:
// of those, some would be whiteouts with another meaning.
var (
	objectPattern = regexp.MustCompile(`^([!-,0-9;-?A-~][!-.0-9;-?A-~]*)(?:@([0-9a-f]{12}))?:(0|[1-9][0-9]{0,18})$`)
	hiddenPattern = regexp.MustCompile(`^-([!-,0-9;-?A-~][!-.0-9;-?A-~]*)$`)
)

// Hash is how a history has a part's key: a few digits of it, or nothing.
func Hash(key string) string {
	if hex, ok := strings.CutPrefix(key, "sha256:"); ok && len(hex) >= hashDigits {
		return hex[:hashDigits]
	}
	return ""
}

// String is the object's word.
func (o Object) String() string {
	if o.Hash == "" {
		return fmt.Sprintf("%s:%d", o.Name, o.Size)
	}
	return fmt.Sprintf("%s@%s:%d", o.Name, o.Hash, o.Size)
}

// String is the text form.
func (l Claim) String() string {
	words := make([]string, 0, len(l.Objects)+len(l.Hidden))
	for _, o := range l.Objects {
		words = append(words, o.String())
	}
	for _, name := range l.Hidden {
		words = append(words, "-"+name)
	}
	return strings.Join(words, " ")
}

// ClaimOf is what a history says of a layer that holds parts and hides the parts of other roots.
func ClaimOf(parts []rootfs.Part, hidden []string) Claim {
	var l Claim
	for _, p := range parts {
		l.Objects = append(l.Objects, Object{p.Name, Hash(p.Key), p.Size})
	}
	for _, root := range hidden {
		l.Hidden = append(l.Hidden, path.Base(root))
	}
	return l
}

// NewEntry is the entry of a layer that holds parts and hides the parts of other roots.
// If there are changes, it is a layer on top of the planned ones; then what it hides is not in the entry, and may be anything.
func NewEntry(created time.Time, parts []rootfs.Part, hidden, changes []string) (ispec.History, error) {
	if len(changes) > 0 {
		hidden = nil
	}
	l := ClaimOf(parts, hidden)
	for _, o := range l.Objects {
		if word := o.String(); !objectPattern.MatchString(word) {
			return ispec.History{}, fmt.Errorf("history of %q: its name, key or size is not representable", word)
		}
	}
	for i, name := range l.Hidden {
		if word := "-" + name; !hiddenPattern.MatchString(word) || hidden[i] != StoreDir+"/"+name {
			return ispec.History{}, fmt.Errorf("history of %q: only a store object can be hidden", hidden[i])
		}
	}
	return ispec.History{Created: &created, CreatedBy: createdBy + changesText(changes), Comment: l.String()}, nil
}

// mostChanges is how many bytes of changes a history has.
const mostChanges = 1 << 10

// changesText is what created_by has behind the program's name.
func changesText(changes []string) string {
	var b strings.Builder
	for i, c := range changes {
		if !utf8.ValidString(c) || strings.ContainsFunc(c, func(r rune) bool { return !unicode.IsPrint(r) }) {
			c = strconv.Quote(c)
		}
		if b.Len()+len(c) > mostChanges && i > 0 {
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

// Parse is what a layer holds, by its entry in an image's history.
// The error is ErrForeign if another program has made the entry, and another one if it is damaged.
func Parse(entry ispec.History) (Claim, error) {
	l := Claim{Top: strings.HasPrefix(entry.CreatedBy, createdBy+topMark)}
	switch {
	case entry.CreatedBy != createdBy && !l.Top:
		return l, fmt.Errorf("history of %q: %w", entry.CreatedBy, ErrForeign)
	case entry.EmptyLayer:
		return l, errors.New("history: an entry without a layer")
	case entry.Comment == "":
		return l, nil
	}
	for word := range strings.SplitSeq(entry.Comment, " ") {
		if m := hiddenPattern.FindStringSubmatch(word); m != nil && !l.Top {
			l.Hidden = append(l.Hidden, m[1])
			continue
		}
		m := objectPattern.FindStringSubmatch(word)
		if m == nil || len(l.Hidden) > 0 {
			return Claim{}, fmt.Errorf("history: %q does not name an object", word)
		}
		size, err := strconv.ParseInt(m[3], 10, 64)
		if err != nil {
			return Claim{}, fmt.Errorf("history: size of %q: %w", word, err)
		}
		l.Objects = append(l.Objects, Object{m[1], m[2], size})
	}
	return l, l.Check()
}

// Check refuses what no layer of this program is: one that holds something twice, or hides what it holds.
func (l Claim) Check() error {
	seen := make(map[string]bool, len(l.Objects)+len(l.Hidden))
	for _, o := range l.Objects {
		if seen[o.Name] {
			return fmt.Errorf("history: the layer holds %q twice", o.Name)
		}
		seen[o.Name] = true
	}
	for _, name := range l.Hidden {
		if seen[name] || name == BaseName {
			return fmt.Errorf("history: the layer cannot hide %q", name)
		}
		seen[name] = true
	}
	return nil
}

// Holds says whether an object of that name is in the layer.
func (l Claim) Holds(name string) bool {
	return slices.ContainsFunc(l.Objects, func(o Object) bool { return o.Name == name })
}
