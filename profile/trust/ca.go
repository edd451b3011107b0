package trust

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nix32"
)

// Method says which part of an object a content address hashes.
type Method string

const (
	Text Method = "text" // the content of a file; the object may refer to others
	Flat Method = "flat" // the content of a file
	NAR  Method = "nar"  // the NAR; the object may refer to others and to itself
)

// CA is a content address: the hash from which an object's path is made.
type CA struct {
	Method    Method
	Algorithm string // "sha256"
	Hash      []byte
}

// algorithms holds the supported hashes.
// Nix also accepts MD5, but anyone can make two objects with the same MD5, and so with the same path.
var algorithms = map[string]func() hash.Hash{
	"sha1":   sha1.New,
	"sha256": sha256.New,
	"sha512": sha512.New,
}

// ParseCA parses a content address as Nix writes it (libstore/content-address.cc):
//
//	text:sha256:<hash>          a file made by toFile, or a derivation
//	fixed:<algorithm>:<hash>    a file of a fixed hash
//	fixed:r:<algorithm>:<hash>  an object of a fixed NAR hash
//
// The hash is in hexadecimal, nix32 or base 64. The supported algorithms are sha1, sha256 and sha512.
// The method git is not supported.
func ParseCA(s string) (*CA, error) {
	fail := func(why string) (*CA, error) { return nil, fmt.Errorf("content address %q: %s", s, why) }
	ca := &CA{}
	kind, rest, _ := strings.Cut(s, ":")
	switch kind {
	case "text":
		ca.Method = Text
	case "fixed":
		ca.Method = Flat
		if after, ok := strings.CutPrefix(rest, "r:"); ok {
			ca.Method, rest = NAR, after
		} else if strings.HasPrefix(rest, "git:") {
			return fail("the method git is not supported")
		}
	default:
		return fail("neither text nor fixed")
	}
	algorithm, digest, ok := strings.Cut(rest, ":")
	newHash, known := algorithms[algorithm]
	switch {
	case !ok:
		return fail("no algorithm")
	case algorithm == "md5":
		return fail("MD5 proves nothing")
	case !known:
		return fail("its algorithm is not supported")
	case ca.Method == Text && algorithm != "sha256":
		return fail("a text needs a SHA-256")
	}
	ca.Algorithm = algorithm
	if ca.Hash, ok = decodeDigest(digest, newHash().Size()); !ok {
		return fail("not a hash of its algorithm")
	}
	return ca, nil
}

// digest computes the digest in the path of an object in dir with this content address
// (libstore/store-api.cc, makeFixedOutputPath). The references to others must be sorted.
func (ca *CA) digest(dir profile.StoreDir, name string, self bool, others []profile.Path) ([]byte, error) {
	sum := hex.EncodeToString(ca.Hash)
	kind := "source"
	switch {
	case ca.Method == Text:
		kind = "text"
		if self {
			return nil, errors.New("a text cannot refer to itself")
		}
	case ca.Method == Flat || ca.Algorithm != "sha256":
		if self || len(others) > 0 {
			return nil, fmt.Errorf("an object with %s cannot refer to others", ca.describe())
		}
		prefix := ""
		if ca.Method == NAR {
			prefix = "r:"
		}
		kind = "output:out"
		sum = hexSum("fixed:out:" + prefix + ca.Algorithm + ":" + sum + ":")
	}
	for _, ref := range others {
		kind += ":" + string(ref)
	}
	if self {
		kind += ":self"
	}
	all := sha256.Sum256([]byte(kind + ":sha256:" + sum + ":" + dir.String() + ":" + name))
	return fold(all[:]), nil
}

// describe describes a content address in words.
func (ca *CA) describe() string {
	if ca.Method == Text {
		return "a text's content address"
	}
	return fmt.Sprintf("a fixed %s hash of its %s", ca.Algorithm, map[Method]string{Flat: "file", NAR: "NAR"}[ca.Method])
}

// vouch returns an error if an object's path does not follow from its content address.
func (ca *CA) vouch(info *profile.Info) error {
	self, others := split(info)
	digest, err := ca.digest(info.Path.StoreDir(), info.Path.Name(), self, others)
	if err != nil {
		return err
	}
	if nix32.Encode(digest) != info.Path.Digest() {
		return fmt.Errorf("its content address %s makes another path", info.CA)
	}
	if ca.isNARHash(info) && !bytes.Equal(ca.Hash, info.NarHash[:]) {
		return fmt.Errorf("its content address %s is not its NAR hash %v", info.CA, info.NarHash)
	}
	return nil
}

// isNARHash returns whether an object's content address and its NAR hash cover the same bytes.
func (ca *CA) isNARHash(info *profile.Info) bool {
	return ca.Method == NAR && ca.Algorithm == "sha256" && !slices.Contains(info.References, info.Path)
}

// split separates references to the object itself from those to others, which it sorts.
func split(info *profile.Info) (self bool, others []profile.Path) {
	others = slices.Clone(info.References)
	slices.Sort(others)
	others = slices.Compact(others)
	others = slices.DeleteFunc(others, func(ref profile.Path) bool {
		self = self || ref == info.Path
		return ref == info.Path
	})
	return self, others
}

func hexSum(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// fold reduces a hash to the 20 bytes of a path.
func fold(sum []byte) []byte {
	out := make([]byte, 20)
	for i, b := range sum {
		out[i%len(out)] ^= b
	}
	return out
}

// decodeDigest decodes a hash of n bytes. Its length tells the encoding.
func decodeDigest(s string, n int) ([]byte, bool) {
	switch len(s) {
	case n * 2:
		b, err := hex.DecodeString(s)
		return b, err == nil
	case nix32.EncodedLen(n):
		return nix32.Decode(s, n)
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return b, err == nil && len(b) == n && !strings.ContainsAny(s, "\r\n")
}
