package ocilayout

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
)

// Object is a part of a layer as the image's history names it.
type Object struct {
	Name string // the base name of a store path, or "base"
	Hash string // the first 12 hexadecimal digits of its key; empty if it has none
	Size int64  // the part's: the NAR's size for a store object
}

// History is what an image's history says of a layer.
// Its text form is the comment of the layer's entry, words with a space between them:
//
//	NAME@HASH:SIZE   the layer holds it
//	NAME:SIZE        the same, of a part that has no key
//	-NAME            the layer makes it invisible: the store object of that name in the layers below
//
// It is what a later image can be planned by; see [PlanSticky].
//
// A layer with changes has them in the entry's created_by, behind the program's name.
// Its comment is of the same form, without what it hides.
type History struct {
	Top     bool     // a layer with changes, on top of the planned ones
	Objects []Object // in path order, the base part first
	Hidden  []string // base names of store paths, sorted
}

// createdBy is in the history of every layer, without a version, so that a release changes no image.
const createdBy = "export-profile"

// topMark is behind it in the history of a layer with changes.
const topMark = ": "

const hashDigits = 12

// BaseName is the name of the part whose root is empty.
const BaseName = "base"

// Names are printable, without space, / @ and :, and do not begin with a dash, or with a dot:
// of those, some would be whiteouts with another meaning.
var (
	objectPattern = regexp.MustCompile(`^([!-,0-9;-?A-~][!-.0-9;-?A-~]*)(?:@([0-9a-f]{12}))?:(0|[1-9][0-9]{0,18})$`)
	hiddenPattern = regexp.MustCompile(`^-([!-,0-9;-?A-~][!-.0-9;-?A-~]*)$`)
)

// objectHash is how the history has a part's key.
func objectHash(key string) string {
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
func (h History) String() string {
	words := make([]string, 0, len(h.Objects)+len(h.Hidden))
	for _, o := range h.Objects {
		words = append(words, o.String())
	}
	for _, name := range h.Hidden {
		words = append(words, "-"+name)
	}
	return strings.Join(words, " ")
}

// history is what an image's history will say of a layer that is built.
func (l Layer) history() History {
	var h History
	for _, p := range l.Parts {
		h.Objects = append(h.Objects, Object{p.Name, objectHash(p.Key), p.Size})
	}
	if h.Top = len(l.Changes) > 0; h.Top {
		return h
	}
	for _, root := range l.Hidden {
		h.Hidden = append(h.Hidden, path.Base(root))
	}
	return h
}

// layerHistory is a layer's entry in the history.
func layerHistory(l Layer, created time.Time) (ispec.History, error) {
	if l.Kept != nil {
		return l.Kept.Entry, nil
	}
	h := l.history()
	for _, o := range h.Objects {
		if word := o.String(); !objectPattern.MatchString(word) {
			return ispec.History{}, fmt.Errorf("history of %q: its name, key or size is not representable", word)
		}
	}
	for i, name := range h.Hidden {
		if word := "-" + name; !hiddenPattern.MatchString(word) || l.Hidden[i] != StoreDir+"/"+name {
			return ispec.History{}, fmt.Errorf("history of %q: only a store object can be hidden", l.Hidden[i])
		}
	}
	return ispec.History{Created: &created, CreatedBy: createdBy + changesText(l.Changes), Comment: h.String()}, nil
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

// ParseHistory is what a layer holds, by its entry in an image's history.
// The error is ErrForeign if another program has made the entry, and another one if it is damaged.
func ParseHistory(entry ispec.History) (History, error) {
	h := History{Top: strings.HasPrefix(entry.CreatedBy, createdBy+topMark)}
	switch {
	case entry.CreatedBy != createdBy && !h.Top:
		return h, fmt.Errorf("history of %q: %w", entry.CreatedBy, ErrForeign)
	case entry.EmptyLayer:
		return h, errors.New("history: an entry without a layer")
	case entry.Comment == "":
		return h, nil
	}
	for word := range strings.SplitSeq(entry.Comment, " ") {
		if m := hiddenPattern.FindStringSubmatch(word); m != nil && !h.Top {
			h.Hidden = append(h.Hidden, m[1])
			continue
		}
		m := objectPattern.FindStringSubmatch(word)
		if m == nil || len(h.Hidden) > 0 {
			return History{}, fmt.Errorf("history: %q does not name an object", word)
		}
		size, err := strconv.ParseInt(m[3], 10, 64)
		if err != nil {
			return History{}, fmt.Errorf("history: size of %q: %w", word, err)
		}
		h.Objects = append(h.Objects, Object{m[1], m[2], size})
	}
	return h, h.check()
}

// check refuses what no layer of this program is: one that holds something twice, or hides what it holds.
func (h History) check() error {
	seen := make(map[string]bool, len(h.Objects)+len(h.Hidden))
	for _, o := range h.Objects {
		if seen[o.Name] {
			return fmt.Errorf("history: the layer holds %q twice", o.Name)
		}
		seen[o.Name] = true
	}
	for _, name := range h.Hidden {
		if seen[name] || name == BaseName {
			return fmt.Errorf("history: the layer cannot hide %q", name)
		}
		seen[name] = true
	}
	return nil
}

// holds says whether an object of that name is in the layer.
func (h History) holds(name string) bool {
	return slices.ContainsFunc(h.Objects, func(o Object) bool { return o.Name == name })
}
