package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/cmd/export-profile/internal/report"
	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/verify"
	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/attestation"
)

// sourceWords names the sources for people elsewhere: without directories of this machine, and without logins.
func sourceWords(from []string) string {
	if len(from) == 0 {
		return "this machine's store"
	}
	var words []string
	for _, word := range from {
		u, err := url.Parse(word)
		switch {
		case word == standardName:
			word = "standard input"
		case err == nil && u.Host != "":
			word = u.Host + u.Path
		default:
			word = path.Base(strings.TrimRight(word, "/"))
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// keySigners lists the keys of Nix that have signed store paths, as their signatures say. With --require-sigs they were verified.
func keySigners(closure *profile.Closure, verified bool) (signers []report.Signer) {
	signed := make(map[string]int)
	for _, info := range closure.Infos {
		keys := make(map[string]bool)
		for _, s := range info.Signatures {
			if key, _, ok := strings.Cut(s, ":"); ok {
				keys[key] = true
			}
		}
		for key := range keys {
			signed[key]++
		}
	}
	for _, key := range slices.Sorted(maps.Keys(signed)) {
		signers = append(signers, report.Signer{Key: key, Of: fmt.Sprintf("%d of %s", signed[key], count(len(closure.Infos), "store path")), Verified: verified})
	}
	return signers
}

// mostStatements limits the attestations of an image that are read to find out whose key they name.
const mostStatements = 100

// statementSigners lists the keys that attestations about an image name: those attached in a registry, or those in a file beside it.
// It verifies none of them. If they cannot be read, a note says why.
func (o *imageOpener) statementSigners(ctx context.Context, say *speaker, word string, found *ocilayout.ImageSource, image *ocilayout.Image) ([]report.Signer, error) {
	n, err := parseImageName("image", imageExample, word)
	if err != nil {
		return nil, err
	}
	var hints []string
	if n.transport.remote {
		about := &verify.Report{Images: []verify.ImageReport{{Digest: image.Digest}}}
		for _, a := range listAttached(ctx, say, o, n, about) {
			if a.PredicateType != "" {
				hints = append(hints, a.KeyHint)
			}
		}
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
	} else {
		for _, name := range besideNames(n, found.Tags) {
			more, err := hintsBeside(name+attestation.Extension, image.Digest.String())
			if err != nil {
				say.notef("it is unknown who signed the image: %v", err)
			}
			hints = append(hints, more...)
		}
	}
	var signers []report.Signer
	for _, hint := range hints {
		key := cutText(cmp.Or(hint, "an unnamed key"), 100) // the statement may say anything
		signers = append(signers, report.Signer{Key: key, Of: "a statement about the image"})
	}
	return signers, nil
}

// hintsBeside returns the names of the keys of the attestations about an image in a file, one a line.
func hintsBeside(name, digest string) (hints []string, err error) {
	f, err := openBeside(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bufio.NewReader(io.LimitReader(f, mostPeekedBytes))
	for range mostStatements {
		line, err := r.ReadBytes('\n')
		if s, bad := peek(line); bad == nil && slices.Contains(s.Subjects, digest) {
			hints = append(hints, s.KeyHint)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return hints, err
		}
	}
	return hints, nil
}
