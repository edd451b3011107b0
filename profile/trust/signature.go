package trust

import (
	"encoding/base64"
	"strings"
	"unicode"
)

// ParseSignature parses a signature of an object, "name:base64", with or without padding.
// It returns the signature with padding, or false if it has another form, or a name that cannot be printed.
// Whether the signature is right is another question, see [Keys.Verify].
func ParseSignature(s string) (padded string, ok bool) {
	name, text, _ := strings.Cut(s, ":")
	signature, ok := decodeSignature(text)
	if !ok || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsGraphic(r) || unicode.IsSpace(r) }) {
		return "", false
	}
	return name + ":" + base64.StdEncoding.EncodeToString(signature), true
}
