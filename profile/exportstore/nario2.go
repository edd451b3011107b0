package exportstore

import (
	"crypto/sha256"
	"fmt"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
)

// nario2Magic begins a stream in Determinate Nix's format 2.
const nario2Magic = "NARIO2\x00\x00"

// These limits bound the metadata of one object, except for its references.
const (
	maxPerObject = 256     // signatures
	maxText      = 4 << 10 // of a signature, a hash, a content address
)

// nario2 reads an object of format 2: its metadata, and then its NAR, which must match.
func (r *indexer) nario2() (o object, err error) {
	t, err := r.readInfo()
	if err != nil {
		return o, err
	}
	offset, hash, size, err := r.nar(sha256.New())
	switch {
	case err != nil:
		return o, fmt.Errorf("%q: %w", t.Path, err)
	case hash != t.NarHash:
		return o, &nar.HashError{Root: t.Path.Root(), Want: t.NarHash, Got: hash}
	case size != t.NarSize:
		return o, &nar.SizeError{Root: t.Path.Root(), Want: t.NarSize, Got: size}
	}
	return object{t, offset}, nil
}

// readInfo reads the metadata before the NAR.
func (r *indexer) readInfo() (*profile.Info, error) {
	t := &profile.Info{}
	var err error
	if t.Path, err = r.readBase(r.w); err != nil {
		return nil, err
	}
	if err := r.readRest(t); err != nil {
		return nil, fmt.Errorf("metadata of %q: %w", t.Path, err)
	}
	return t, nil
}

func (r *indexer) readRest(t *profile.Info) error {
	deriver, err := r.w.String(maxPath)
	if err != nil {
		return err
	}
	if deriver != "" {
		if t.Deriver, err = profile.ParseBase(r.dir, deriver); err != nil {
			return fmt.Errorf("deriver: %w", err)
		}
	}
	hash, err := r.w.String(maxText)
	if err != nil {
		return err
	}
	if len(hash) != 2*len(t.NarHash) {
		return fmt.Errorf("hash %.80q: not a SHA-256 in hexadecimal", hash)
	}
	if t.NarHash, err = profile.ParseHash(hash); err != nil {
		return err
	}
	if t.References, err = r.readReferences(t.Path, r.readBase); err != nil {
		return err
	}
	if _, err := r.w.Uint64(); err != nil { // registration time
		return err
	}
	size, err := r.w.Uint64()
	if err != nil {
		return err
	}
	if t.NarSize = int64(size); t.NarSize <= 0 {
		return fmt.Errorf("NAR of %d bytes", size)
	}
	switch ultimate, err := r.w.Uint64(); {
	case err != nil:
		return err
	case ultimate > 1:
		return fmt.Errorf("number %d instead of 1 or 0 (whether the sender built it)", ultimate)
	}
	n, err := r.w.Uint64()
	if err != nil {
		return err
	}
	if n > maxPerObject {
		return fmt.Errorf("%d signatures, more than the allowed %d", n, maxPerObject)
	}
	for range n {
		signature, err := r.w.String(maxText)
		if err != nil {
			return err
		}
		t.Signatures = append(t.Signatures, signature)
	}
	t.CA, err = r.w.String(maxText)
	return err
}

// unsupported describes the kinds of objects that are not plain NARs.
var unsupported = map[uint64]string{
	2: "as a delta against another object",
	3: "only by name, without its content",
	4: "individually compressed",
}

// refuse returns an error that names an object of an unsupported kind.
func (r *indexer) refuse(how string) error {
	t, err := r.readInfo()
	if err != nil {
		return err
	}
	return fmt.Errorf("%q is sent %s, which is not supported: export it as a plain NAR", t.Path, how)
}

func (r *indexer) readBase(w *nar.Wire) (profile.Path, error) {
	s, err := w.String(maxPath)
	if err != nil {
		return "", err
	}
	return profile.ParseBase(r.dir, s)
}
