package attestation

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Absence says what was found instead of a statement about an image or index.
type Absence struct {
	Forged bool // a bundle that names a trusted key has another signature: it was changed, or its maker lies
	Others bool // a bundle is signed by another key, or by none
	text   string
}

// String lists what was found.
func (a *Absence) String() string {
	const absent = "no statement about it is signed by a given key"
	if a.Empty() {
		return absent + ": no attestation was found"
	}
	return absent + "; found: " + a.text
}

// Empty returns whether no bundle was found, except those about other images that are checked, too.
func (a *Absence) Empty() bool { return a.text == "" }

// few limits what an explanation lists.
const few = 3

// Absence explains why there is no statement about an image or index.
// Others are the digests of the other images that are checked with it: statements about these explain nothing.
func (c *Chooser) Absence(others []string) *Absence {
	var about, keys, unnamed, forged, foreign, unreadable []string
	for _, s := range c.Signed {
		if !slices.Contains(others, s.Subject) {
			about = append(about, s.Subject)
		}
	}
	for _, s := range c.Skipped {
		var wrong *SignatureError
		switch {
		case s.Key != "":
			foreign = append(foreign, s.Err.Error())
		case errors.As(s.Err, &wrong) && wrong.Named:
			forged = append(forged, fmt.Sprintf("%s: %s", s.From, wrong.Reason))
		case errors.As(s.Err, &wrong) && s.KeyHint != "":
			keys = append(keys, fmt.Sprintf("%q", s.KeyHint))
		case errors.As(s.Err, &wrong):
			unnamed = append(unnamed, wrong.Reason)
		default:
			unreadable = append(unreadable, fmt.Sprintf("%s: %v", s.From, s.Err))
		}
	}
	var found []string
	add := func(one, many string, list []string) {
		slices.Sort(list)
		distinct := slices.Compact(slices.Clone(list))
		more := ""
		if n := len(distinct); n > few {
			distinct, more = distinct[:few], fmt.Sprintf(" and %d more", n-few)
		}
		if text := strings.Join(distinct, ", ") + more; len(list) == 1 {
			found = append(found, "1 "+fmt.Sprintf(one, text))
		} else if len(list) > 1 {
			found = append(found, fmt.Sprint(len(list), " ")+fmt.Sprintf(many, text))
		}
	}
	add("that names a given key, but its signature does not verify (%s)", "that name a given key, but their signatures do not verify (%s)", forged)
	add("by a given key about another image, %s", "by a given key about other images: %s", about)
	add("by key %s", "by other keys: %s", keys)
	add("by another key, or by none (%s)", "by other keys, or by none (%s)", unnamed)
	add("by a given key, but not about store paths (%s)", "by a given key, but not about store paths (%s)", foreign)
	add("that cannot be read (%s)", "that cannot be read (%s)", unreadable)
	return &Absence{len(forged) > 0, len(keys)+len(unnamed) > 0, strings.Join(found, "; ")}
}
