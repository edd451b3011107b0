package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/export-profile/export-profile/ocilayout/verify"
	"github.com/export-profile/export-profile/profile/attestation"
)

// statementResult sums up a signed statement about an image or index, and counts its problems.
type statementResult struct {
	Subject  string         `json:"subject"` // the digest of the image or index
	Kind     string         `json:"kind"`    // the statement's build type
	Key      string         `json:"key"`     // the ID of the key that signed it
	From     string         `json:"from"`    // the file and line, or the digest of the attached artifact
	Paths    int            `json:"paths,omitempty"`
	Parts    int            `json:"parts,omitempty"`            // of an index
	Changed  int            `json:"changedOnPurpose,omitempty"` // of the paths
	SignedBy map[string]int `json:"signedBy,omitempty"`         // of the paths, by Nix key, with --require-signed-by
	Problems int            `json:"problemCount"`
}

// list returns the results for JSON, or nil without --key.
func (v *statementVerifier) list() []statementResult {
	if v == nil {
		return nil
	}
	return append([]statementResult{}, v.results...)
}

// signer returns the ID of the given key that has signed an attached bundle, or "".
func (v *statementVerifier) signer(from string) string {
	if v == nil {
		return ""
	}
	key, ok := v.chooser.Signer(from)
	if !ok {
		return ""
	}
	return key.ID()
}

// note says what was proven, if there is no problem, and what was not considered.
func (v *statementVerifier) note(say *speaker, r *verify.Report) {
	if v == nil {
		return
	}
	for _, s := range v.results {
		if r.Count > 0 {
			break
		}
		if s.Kind == string(attestation.OfIndex) {
			say.notef("%s: signed by %s: %s, each with a statement of its own", s.Subject, s.Key, count(s.Parts, "image"))
			continue
		}
		text := fmt.Sprintf("%s: signed by %s: %s, all accounted for", s.Subject, s.Key, count(s.Paths, "store path"))
		if s.Changed > 0 {
			text += fmt.Sprintf(", %d of them changed on purpose", s.Changed)
		}
		for _, key := range slices.Sorted(maps.Keys(s.SignedBy)) {
			text += fmt.Sprintf("; %d signed by %s", s.SignedBy[key], key)
		}
		say.notef("%s", text)
	}
	others := 0
	for _, s := range v.chooser.Signed {
		if !slices.Contains(v.wanted, s.Subject) {
			others++
			say.debugf("%s: skipped: it is about %s", s.From, s.Subject)
		}
	}
	for _, s := range v.chooser.Skipped {
		say.debugf("%s: skipped: %v", s.From, s.Err)
	}
	if n := len(v.chooser.Skipped); r.Count == 0 && n > 0 {
		say.notef("skipped %s by other keys or about other things (--debug lists them)", count(n, "attestation"))
	}
	if r.Count == 0 && others > 0 {
		say.notef("skipped %s by a given key about other images (--debug lists them)", count(others, "statement"))
	}
}
