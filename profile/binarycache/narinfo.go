package binarycache

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/export-profile/export-profile/profile"
)

// NarInfo is the content of a narinfo file: what a cache says about an object, and where its NAR is.
type NarInfo struct {
	profile.Info
	Location            // of the NAR
	Others   []Location // of the same NAR in other compressions, which take longer to read; only Guix has them

	Text string // of the file, if it has a signature of Guix, which covers the text above it
}

// Location says where a NAR is.
type Location struct {
	URL         string // a path below the cache
	Compression string // of the file; never ""

	// Nothing signs these fields and Nix never checks them, and proxies that recompress a NAR serve them unchanged.
	// So they are hints, and a NAR that differs from them is right if it has the hash NarHash.
	FileHash profile.Hash // of the compressed file, if known
	FileSize int64        // of the compressed file, or 0 if unknown
}

// maxLocations limits the locations of a NAR. Guix knows four compressions.
const maxLocations = 16

// ParseNarInfo parses a narinfo file (Nix, libstore/nar-info.cc).
//
// Each line is "Key: value". ParseNarInfo ignores unknown keys and a carriage return at the end of a line.
// Sig may be repeated. Of other repeated keys Nix takes the last; here they are an error.
// It ignores a FileHash or FileSize that it cannot parse.
//
// `guix publish` writes a Signature in place of Sig (guix/narinfo.scm), and one group of URL, Compression and FileSize
// for each compression, in which URL comes first. ParseNarInfo chooses the group that is read fastest.
// It never fails because of a Signature: [profile.GuixSignature] says what is wrong with it.
func ParseNarInfo(b []byte) (*NarInfo, error) {
	n := &NarInfo{}
	seen := make(map[string]bool)
	text := string(b)
	var second error // there are several URLs
	for line := 1; text != ""; line++ {
		begin := len(b) - len(text)
		row, rest, whole := strings.Cut(text, "\n")
		text = rest
		key, value, ok := strings.Cut(strings.TrimSuffix(row, "\r"), ":")
		switch {
		case !whole:
			return nil, fmt.Errorf("line %d: no newline at its end: the file was cut off", line)
		case !ok:
			return nil, fmt.Errorf("line %d: no colon", line)
		}
		value = strings.TrimPrefix(value, " ")
		if key == "URL" && n.URL != "" {
			if n.Others = append(n.Others, n.Location); len(n.Others) == maxLocations {
				return nil, fmt.Errorf("line %d: URL: more than %d of them", line, maxLocations)
			}
			n.Location = Location{}
			second = cmp.Or(second, fmt.Errorf("line %d: URL: given twice", line))
			seen["URL"], seen["Compression"] = false, false
		}
		known, err := n.set(key, value)
		if key == "Signature" {
			known, n.Text = true, string(b)
			n.Guix = readSignature(n.Text, begin, value, seen)
		}
		if err == nil && known && seen[key] {
			err = errors.New("given twice")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", line, key, err)
		}
		seen[key] = known && key != "Sig"
	}
	for _, key := range []string{"StorePath", "URL", "NarHash", "NarSize"} {
		if !seen[key] {
			return nil, fmt.Errorf("no %s", key)
		}
	}
	n.enter(n.Path.StoreDir())
	if second != nil && n.Guix == nil && !n.Path.StoreDir().IsGuix() {
		return nil, second
	}
	n.choose()
	return n, nil
}

// enter puts the paths that the narinfo has as base names into the store directory.
func (n *NarInfo) enter(dir profile.StoreDir) {
	if dir == (profile.StoreDir{}) {
		return
	}
	in := func(p profile.Path) profile.Path { return profile.Path(dir.String() + "/" + p.Base()) }
	for i, ref := range n.References {
		n.References[i] = in(ref)
	}
	if n.Deriver != "" {
		n.Deriver = in(n.Deriver)
	}
}

// set sets the field of a key. known is false if there is no such field, or if it is only a hint.
func (n *NarInfo) set(key, value string) (known bool, err error) {
	switch key {
	case "StorePath":
		n.Path, err = profile.ParsePath(value)
	case "URL":
		if n.URL = value; value == "" {
			err = errors.New("empty")
		}
	case "Compression":
		n.Compression = value
	case "FileHash":
		n.FileHash, _ = parseHash(value)
		return false, nil
	case "FileSize":
		n.FileSize, _ = parseSize(value)
		return false, nil
	case "NarHash":
		n.NarHash, err = parseHash(value)
	case "NarSize":
		n.NarSize, err = parseSize(value)
	case "References":
		n.References, err = parseReferences(value)
	case "Deriver":
		if value != "" && value != "unknown-deriver" {
			n.Deriver, err = profile.ParseBase(profile.StoreDir{}, value)
		}
	case "Sig":
		n.Signatures = append(n.Signatures, value)
	case "CA":
		n.CA = value
	default:
		return false, nil
	}
	return true, err
}

// parseHash parses a SHA-256 that has its "sha256" prefix.
func parseHash(s string) (profile.Hash, error) {
	if !strings.HasPrefix(s, "sha256") {
		return profile.Hash{}, fmt.Errorf("hash %q: not a SHA-256", s)
	}
	h, err := profile.ParseHash(s)
	if err == nil && !h.Known() {
		err = fmt.Errorf("hash %q: all zero", s)
	}
	return h, err
}

func parseSize(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 || n > math.MaxInt64-1 || s[0] == '0' { // Nix writes no leading zeros
		return 0, fmt.Errorf("size %q: not a positive decimal number below 2^63", s)
	}
	return int64(n), nil
}

func parseReferences(s string) ([]profile.Path, error) {
	var refs []profile.Path
	for base := range strings.SplitSeq(s, " ") {
		if base == "" {
			continue
		}
		p, err := profile.ParseBase(profile.StoreDir{}, base)
		if err != nil {
			return nil, err
		}
		refs = append(refs, p)
	}
	slices.Sort(refs)
	return slices.Compact(refs), nil
}

// String formats n as a narinfo file. With a signature of Guix, it is the file as it was.
func (n *NarInfo) String() string {
	if n.Text != "" {
		return n.Text
	}
	var b strings.Builder
	put := func(key, value string) { b.WriteString(key + ": " + value + "\n") }
	put("StorePath", string(n.Path))
	for _, l := range append([]Location{n.Location}, n.Others...) {
		put("URL", l.URL)
		put("Compression", l.Compression)
		if l.FileHash.Known() {
			put("FileHash", l.FileHash.String())
		}
		if l.FileSize > 0 {
			put("FileSize", strconv.FormatInt(l.FileSize, 10))
		}
	}
	put("NarHash", n.NarHash.String())
	put("NarSize", strconv.FormatInt(n.NarSize, 10))
	bases := make([]string, len(n.References))
	for i, ref := range n.References {
		bases[i] = ref.Base()
	}
	put("References", strings.Join(bases, " "))
	if n.Deriver != "" {
		put("Deriver", n.Deriver.Base())
	}
	for _, sig := range n.Signatures {
		put("Sig", sig)
	}
	if n.CA != "" {
		put("CA", n.CA)
	}
	return b.String()
}
