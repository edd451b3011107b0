package trust

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/trust/guix"
)

// parseGuixKeys parses keys of Guix.
func parseGuixKeys(text string) (Keys, error) {
	parsed, err := guix.ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("key of Guix: %w", err)
	}
	var keys Keys
	for _, k := range parsed {
		keys = append(keys, Key{Name: k.ID(), Guix: k})
	}
	return keys, nil
}

// verifyGuix returns an error if no trusted key has made a signature of Guix. Like Guix, it looks at the key before anything else.
func (k Keys) verifyGuix(signed *profile.GuixSignature) error {
	if signed.Problem != "" {
		return errors.New(signed.Problem)
	}
	s, err := guix.ParseSignature(signed.Text)
	if err != nil {
		return fmt.Errorf("its signature is broken: %w", err)
	}
	signer, err := s.Signer()
	if err != nil {
		return fmt.Errorf("it is signed by a Guix key that cannot be trusted: %w", err)
	}
	switch {
	case !slices.ContainsFunc(k, func(key Key) bool { return key.Guix != nil && key.Guix.Equal(signer) }):
		return fmt.Errorf("it is signed by the Guix key %s, which is no trusted key", signer.ID())
	case s.Hash() != signed.Hash:
		return fmt.Errorf("the signature of the Guix key %s is about other data: their hash is %v, not %v", signer.ID(), profile.Hash(s.Hash()), signed.Hash)
	case !s.Verified():
		return fmt.Errorf("the signature of the Guix key %s does not verify", signer.ID())
	}
	return nil
}

// GuixSignature formats the signature of an object in Guix's form like those of Nix, "name:base64":
// the ID of the key that is said to have made it, and the s-expression.
// It returns false if the object has none, or a broken one. Whether the signature is right is another question.
func GuixSignature(info *profile.Info) (text string, ok bool) {
	if info.Guix == nil || info.Guix.Problem != "" {
		return "", false
	}
	s, err := guix.ParseSignature(info.Guix.Text)
	if err != nil {
		return "", false
	}
	signer, err := s.Signer()
	if err != nil {
		return "", false
	}
	return signer.ID() + ":" + base64.StdEncoding.EncodeToString([]byte(info.Guix.Text)), true
}
