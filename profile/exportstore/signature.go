package exportstore

import (
	"fmt"
	"strings"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/trust/guix"
)

const (
	maxSignature  = 64 << 10  // of one signature of Nix 1, generously: RSA signatures are far shorter
	maxSignatures = 512 << 20 // of all signatures of Guix in a stream
)

// signature reads the signature of an object. hash is the SHA-256 of what it covers.
//
// Nix before 2.0 wrote text that nothing reads any more. Guix writes an s-expression:
// even if no key is trusted, the hash in it must be right, since it shows that the stream is whole.
func (r *indexer) signature(t *profile.Info, hash profile.Hash) error {
	text, err := r.w.String(maxSignature)
	if err != nil {
		return err
	}
	if !r.dir.IsGuix() && !strings.HasPrefix(text, "(") {
		return nil
	}
	s, err := guix.ParseSignature(text)
	if err != nil {
		return fmt.Errorf("signature of %q: %w", t.Path, err)
	}
	if got := profile.Hash(s.Hash()); got != hash {
		return fmt.Errorf("signature of %q: it is about data with the hash %v, and these have %v: they were changed or damaged", t.Path, got, hash)
	}
	if r.signatures += len(text); r.signatures > maxSignatures {
		return fmt.Errorf("signature of %q: more than %d bytes of signatures in one stream", t.Path, maxSignatures)
	}
	t.Guix = &profile.GuixSignature{Text: text, Hash: hash}
	return nil
}
