package binarycache

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/trust/guix"
)

// readSignature reads the value of Signature, "1;host;base 64". It covers the text from the beginning to the line at begin.
// above has the keys in that text.
//
// Guix takes the first "Signature:" in the file for the end of what is signed, even inside a line.
// So a line that contains it must not come before.
func readSignature(text string, begin int, value string, above map[string]bool) *profile.GuixSignature {
	problem := func(format string, args ...any) *profile.GuixSignature {
		return &profile.GuixSignature{Problem: fmt.Sprintf(format, args...)}
	}
	if strings.Index(text, "Signature:") != begin {
		return problem(`its signature is not the first "Signature:" in the narinfo`)
	}
	for _, key := range []string{"StorePath", "NarHash", "NarSize", "References"} {
		if !above[key] {
			return problem("its signature does not cover %s, which does not stand above it", key)
		}
	}
	parts := strings.Split(value, ";")
	switch {
	case parts[0] != "1":
		return problem("its signature has version %.20q, not 1", parts[0])
	case len(parts) != 3:
		return problem("its signature is not of the form 1;host;base64")
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil {
		return problem("its signature is not base 64")
	}
	return &profile.GuixSignature{Text: string(decoded), Hash: sha256.Sum256([]byte(text[:begin]))}
}

// fastest lists compressions from the one that is read fastest to the slowest. The others come last.
var fastest = []string{"zstd", "gzip", "none", "lz4", "br", "xz", "lzip", "bzip2"}

// choose makes the location that is read fastest the first.
func (n *NarInfo) choose() {
	all := append(n.Others, n.Location)
	for i := range all {
		all[i].Compression = cmp.Or(all[i].Compression, "bzip2") // as in Nix, which once knew no other
	}
	rank := func(l Location) int {
		if i := slices.Index(fastest, l.Compression); i >= 0 {
			return i
		}
		return len(fastest)
	}
	slices.SortStableFunc(all, func(a, b Location) int { return cmp.Compare(rank(a), rank(b)) })
	n.Location, n.Others = all[0], nil
	if len(all) > 1 {
		n.Others = all[1:]
	}
}

// endless reports whether the end of the NAR's connection has to be asked for: `guix publish` sends no length,
// and if the NAR has no compression, it keeps the connection for more requests (guix/scripts/publish.scm, http-write).
func (n *NarInfo) endless() bool {
	return n.Compression == "none" && (n.Guix != nil || n.Path.StoreDir().IsGuix())
}

// isIntact reports whether the file of a narinfo, which put wrote, may be as it was: nothing shows damage.
func (n *NarInfo) isIntact(file []byte) bool {
	if n.Guix == nil {
		return n.String() == string(file)
	}
	s, err := guix.ParseSignature(n.Guix.Text)
	return err == nil && s.Hash() == n.Guix.Hash
}
