package attestation

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/profile"
)

// Limits of a statement.
const (
	maxParts      = 1 << 10
	maxSignatures = 64 // of one store path
)

// check returns an error if the statement has no canonical form.
func (s *Statement) check() error {
	switch s.Kind {
	case OfBuild, OfContents:
		if len(s.Parts) > 0 {
			return fmt.Errorf("%s: only an index has parts", s.Kind)
		}
	case OfIndex:
		if len(s.Paths) > 0 || s.Base != "" {
			return fmt.Errorf("%s: an index has no store paths and no base image of its own", s.Kind)
		}
	default:
		return fmt.Errorf("build type %q: unknown", s.Kind)
	}
	if err := checkDigest(s.Subject); err != nil {
		return fmt.Errorf("subject: %w", err)
	}
	if s.Base != "" {
		if err := checkDigest(s.Base); err != nil {
			return fmt.Errorf("base image: %w", err)
		}
	}
	if len(s.Parts) > maxParts {
		return fmt.Errorf("%d parts, more than %d", len(s.Parts), maxParts)
	}
	seen := make(map[string]bool)
	for _, p := range s.Parts {
		if err := checkDigest(p.Digest); err != nil {
			return fmt.Errorf("part: %w", err)
		}
		if seen[p.Digest] {
			return fmt.Errorf("part %s: twice", p.Digest)
		}
		seen[p.Digest] = true
	}
	for i := range s.Paths {
		p := &s.Paths[i]
		if err := p.check(); err != nil {
			return fmt.Errorf("%q: %w", p.Path, err)
		}
		if i > 0 && s.Paths[i-1].Path >= p.Path {
			return fmt.Errorf("%q: out of order", p.Path)
		}
		if err := p.Path.CheckIn(s.Paths[0].Path.StoreDir()); err != nil {
			return err
		}
	}
	return nil
}

func (p *Path) check() error {
	if _, err := profile.ParsePath(string(p.Path)); err != nil {
		return err
	}
	switch {
	case p.Changed && (p.NarHash.Known() || p.NarSize != 0 || len(p.Signatures) > 0 || p.CA != ""):
		return errors.New("it was changed on purpose, so no hash or signature is about it")
	case !p.Changed && !p.NarHash.Known():
		return errors.New("its NAR hash is unknown")
	case !p.Changed && p.NarSize <= 0:
		return fmt.Errorf("a NAR of %d bytes", p.NarSize)
	case !strictlySorted(p.References):
		return errors.New("references out of order")
	case !strictlySorted(p.Signatures):
		return errors.New("signatures out of order")
	case len(p.Signatures) > maxSignatures:
		return fmt.Errorf("%d signatures, more than %d", len(p.Signatures), maxSignatures)
	}
	return nil
}

func strictlySorted[S ~string](all []S) bool {
	for i := range all {
		if i > 0 && all[i-1] >= all[i] {
			return false
		}
	}
	return true
}

// checkDigest refuses everything but "sha256:" and 64 lower-case hexadecimal digits.
func checkDigest(d string) error {
	hex, ok := strings.CutPrefix(d, "sha256:")
	if !ok || len(hex) != 64 || slices.ContainsFunc([]byte(hex), func(c byte) bool { return !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') }) {
		return fmt.Errorf("digest %.100q: want sha256: and 64 hexadecimal digits", d)
	}
	return nil
}
