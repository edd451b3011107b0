package ocilayout

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Object is a part of a layer as the image's history names it.
type Object struct {
	Name string // the base name of a store path, or "base"
	Hash string // the first 12 hexadecimal digits of its key; empty if it has none
}

// createdBy is in the history of every layer, without a version, so that a release changes no image.
const createdBy = "export-profile"

const hashDigits = 12

var objectPattern = regexp.MustCompile(`^([!-?A-~]+)(?:@([0-9a-f]{12}))?$`) // printable, without space and @

// String is NAME@HASH, or NAME if there is no hash.
func (o Object) String() string {
	if o.Hash == "" {
		return o.Name
	}
	return o.Name + "@" + o.Hash
}

// layerHistory is a layer's entry in the history: its comment names the objects, with a space between them.
func layerHistory(l Layer, created time.Time) (ispec.History, error) {
	words := make([]string, len(l.Parts))
	for i, p := range l.Parts {
		o := Object{Name: p.Name}
		if hex, ok := strings.CutPrefix(p.Key, "sha256:"); ok && len(hex) >= hashDigits {
			o.Hash = hex[:hashDigits]
		}
		words[i] = o.String()
		if !objectPattern.MatchString(words[i]) {
			return ispec.History{}, fmt.Errorf("history of %q: its name or key is not representable", words[i])
		}
	}
	return ispec.History{Created: &created, CreatedBy: createdBy, Comment: strings.Join(words, " ")}, nil
}

// ParseHistory is what a layer holds, by its entry in an image's history.
// It is an error if the entry is not of this program's making.
func ParseHistory(h ispec.History) ([]Object, error) {
	if h.CreatedBy != createdBy {
		return nil, fmt.Errorf("history of %q: made by another program", h.CreatedBy)
	}
	if h.Comment == "" {
		return nil, nil
	}
	words := strings.Split(h.Comment, " ")
	objects := make([]Object, len(words))
	for i, w := range words {
		m := objectPattern.FindStringSubmatch(w)
		if m == nil {
			return nil, fmt.Errorf("history: %q does not name an object", w)
		}
		objects[i] = Object{Name: m[1], Hash: m[2]}
	}
	return objects, nil
}
