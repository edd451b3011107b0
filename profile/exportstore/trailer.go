package exportstore

import (
	"errors"
	"fmt"
	"slices"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
)

// trailerMagic is "NIXE" as a number.
const trailerMagic = 0x4558494e

// maxPath is longer than any store path.
const maxPath = 512

// maxSignature is longer than any RSA signature that Nix 1 wrote.
const maxSignature = 64 << 10

// readTrailer reads what follows a NAR: all that is known of the object but its hash.
func readTrailer(w *nar.Wire) (*profile.Info, error) {
	magic, err := w.Uint64()
	if err != nil {
		return nil, err
	}
	if magic != trailerMagic {
		return nil, fmt.Errorf("number %#x where %#x is due behind a NAR", magic, trailerMagic)
	}
	t := &profile.Info{}
	if t.Path, err = readPath(w); err != nil {
		return nil, err
	}
	n, err := w.Uint64()
	if err != nil {
		return nil, err
	}
	for range n {
		ref, err := readPath(w)
		if err != nil {
			return nil, fmt.Errorf("references of %q: %w", t.Path, err)
		}
		t.References = append(t.References, ref)
	}
	slices.Sort(t.References)
	t.References = slices.Compact(t.References)
	deriver, err := w.String(maxPath)
	if err != nil {
		return nil, err
	}
	if deriver != "" {
		if t.Deriver, err = profile.ParsePath(deriver); err != nil {
			return nil, fmt.Errorf("deriver of %q: %w", t.Path, err)
		}
	}
	switch signed, err := w.Uint64(); {
	case err != nil:
		return nil, err
	case signed > 1:
		return nil, fmt.Errorf("number %d where 1 or 0 says whether %q is signed", signed, t.Path)
	case signed == 1:
		if _, err := w.String(maxSignature); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func readPath(w *nar.Wire) (profile.Path, error) {
	s, err := w.String(maxPath)
	if err != nil {
		return "", err
	}
	return profile.ParsePath(s)
}

// checkEnd reports what is behind the end of a stream.
// Nix ignores it, and with it all but the first of two streams in one file.
func checkEnd(w *nar.Wire) error {
	rest := w.Peek(16)
	switch {
	case len(rest) == 0:
		return nil
	case isStream(rest):
		return errors.New("another export stream begins here: export all paths into one, or read them one by one")
	}
	return errors.New("there is something behind the end of the stream")
}
