package trust

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/trust/guix"
)

// Key is a public key that may sign store objects.
type Key struct {
	Name   string            // of a Nix key, or the ID of a Guix key
	Public ed25519.PublicKey // nil for a Guix key
	Guix   *guix.PublicKey   // nil for a Nix key
}

// Keys are trusted keys.
type Keys []Key

// defaultKey is the key of cache.nixos.org.
const defaultKey = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="

// Default returns the keys that Nix trusts by default.
func Default() Keys {
	k, err := ParseKey(defaultKey)
	if err != nil {
		panic(err) // it is a constant
	}
	return Keys{k}
}

// ParseKey parses a public key as Nix writes it, "name:base64".
// Errors do not quote s, which may be a secret key by mistake.
func ParseKey(s string) (Key, error) {
	name, text, ok := strings.Cut(s, ":")
	switch {
	case !ok || name == "" || strings.ContainsAny(name, " \t\r\n"):
		return Key{}, errors.New("public key: not of the form name:base64")
	case text == "":
		return Key{}, fmt.Errorf("public key %q: empty", name)
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	switch {
	case err != nil || strings.ContainsAny(text, "\r\n"): // DecodeString skips newlines
		return Key{}, fmt.Errorf("public key %q: not base 64", name)
	case len(b) == ed25519.PrivateKeySize:
		return Key{}, fmt.Errorf("public key %q: it is a secret key (`nix key convert-secret-to-public` makes a public one)", name)
	case len(b) != ed25519.PublicKeySize:
		return Key{}, fmt.Errorf("public key %q: %d bytes, not %d", name, len(b), ed25519.PublicKeySize)
	}
	return Key{Name: name, Public: b}, nil
}

// ParseKeys parses keys separated by white space, as in nix.conf and in files that Nix writes.
// A word that begins with # starts a comment up to the end of the line.
// A text that begins with a parenthesis has keys of Guix, see [guix.ParseKeys].
func ParseKeys(text string) (Keys, error) {
	if guix.IsKeys(text) {
		return parseGuixKeys(text)
	}
	var keys Keys
	n := 0
	for line := range strings.Lines(text) {
		n++
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "#") {
				break
			}
			k, err := ParseKey(word)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// Fingerprint returns the text that a key signs for an object:
// "1;", the path, the NAR's hash and size, and the references, sorted and as full paths.
func Fingerprint(info *profile.Info) string {
	refs := make([]string, len(info.References))
	for i, ref := range info.References {
		refs[i] = string(ref)
	}
	slices.Sort(refs)
	return fmt.Sprintf("1;%s;%s;%d;%s", info.Path, info.NarHash, info.NarSize, strings.Join(slices.Compact(refs), ","))
}

// verify returns an error if no trusted key has signed an object.
func (k Keys) verify(info *profile.Info) error {
	if info.Guix != nil {
		if err := k.verifyGuix(info.Guix); err == nil || len(info.Signatures) == 0 {
			return err
		}
	}
	if len(info.Signatures) > 0 && (!info.NarHash.Known() || info.NarSize <= 0) {
		return errors.New("its NAR hash or size is unknown, and a signature covers both")
	}
	return k.Verify([]byte(Fingerprint(info)), info.Signatures)
}

// maxTries limits how many signatures of a message are verified. A narinfo has room for ten thousand, which take a second.
const maxTries = 64

// Verify returns an error if no trusted key has made one of the signatures, "name:base64", of a message.
// It tries the first maxTries that bear the name of a trusted key.
func (k Keys) Verify(message []byte, signatures []string) error {
	if len(signatures) == 0 {
		return errors.New("it has no signature")
	}
	var unknown, wrong []string
	tries := 0
	for _, s := range signatures {
		name, text, _ := strings.Cut(s, ":")
		signature, ok := decodeSignature(text)
		known := false
		for _, key := range k {
			if key.Name != name || key.Guix != nil {
				continue
			}
			known = true
			if !ok || tries == maxTries {
				continue
			}
			tries++
			if ed25519.Verify(key.Public, message, signature) {
				return nil
			}
		}
		if known {
			wrong = append(wrong, name)
		} else {
			unknown = append(unknown, name)
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("the signature of key %s does not verify", list(wrong))
	}
	return fmt.Errorf("it is signed by %s, which is no trusted key", list(unknown))
}

// decodeSignature decodes base 64, with or without padding, like Nix.
func decodeSignature(s string) ([]byte, bool) {
	const length = (ed25519.SignatureSize*8 + 5) / 6
	s = strings.TrimSuffix(s, "==")
	b, err := base64.RawStdEncoding.Strict().DecodeString(s)
	return b, err == nil && len(s) == length && len(b) == ed25519.SignatureSize
}

// list names at most a few keys.
func list(names []string) string {
	const few = 4
	slices.Sort(names)
	names = slices.Compact(names)
	more := ""
	if len(names) > few {
		more = fmt.Sprintf(" and %d more", len(names)-few)
		names = names[:few]
	}
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(quoted, ", ") + more
}
