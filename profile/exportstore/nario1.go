package exportstore

import (
	"crypto/sha256"
	"fmt"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
)

// trailerMagic is "NIXE" as a number.
const trailerMagic = 0x4558494e

// maxPath limits a store path, generously.
const maxPath = 512

// nario1 reads an object of the first format: its NAR, and then its metadata. A signature covers both.
func (r *indexer) nario1() (o object, err error) {
	t := &profile.Info{}
	h := sha256.New()
	if o.offset, t.NarHash, t.NarSize, err = r.nar(h); err != nil {
		return o, err
	}
	r.w.Tee = h
	defer func() { r.w.Tee = nil }()
	magic, err := r.w.Uint64()
	if err != nil {
		return o, err
	}
	if magic != trailerMagic {
		return o, fmt.Errorf("number %#x instead of %#x after a NAR", magic, trailerMagic)
	}
	if t.Path, err = readPath(r.w); err != nil {
		return o, err
	}
	if len(r.objects) == 0 {
		r.dir = t.Path.StoreDir()
	}
	if err := t.Path.CheckIn(r.dir); err != nil {
		return o, err
	}
	if t.References, err = r.readReferences(t.Path, readPath); err != nil {
		return o, err
	}
	deriver, err := r.w.String(maxPath)
	if err != nil {
		return o, err
	}
	if deriver != "" {
		if t.Deriver, err = profile.ParsePath(deriver); err != nil {
			return o, fmt.Errorf("deriver of %q: %w", t.Path, err)
		}
	}
	r.w.Tee = nil
	switch signed, err := r.w.Uint64(); {
	case err != nil:
		return o, err
	case signed > 1:
		return o, fmt.Errorf("number %d instead of 1 or 0 (whether %q is signed)", signed, t.Path)
	case signed == 1:
		if err := r.signature(t, profile.Hash(h.Sum(nil))); err != nil {
			return o, err
		}
	}
	o.info = t
	return o, nil
}

func readPath(w *nar.Wire) (profile.Path, error) {
	s, err := w.String(maxPath)
	if err != nil {
		return "", err
	}
	return profile.ParsePath(s)
}
