package attestation

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/trust"
	"github.com/export-profile/export-profile/rootfs"
)

// Contents holds what was found in the layers of an image, or the parts of an index.
type Contents struct {
	Digest   string // of the manifest or index
	StoreDir rootfs.StoreDir
	Objects  []Object // everything visible in the store, sorted by name
	Layers   []string // names of the layers, as [Scanner.File] got them
	Config   []byte   // JSON that says how to run the image, or nil

	Index bool
	Parts []string // digests of the images that an index lists, in its order
}

// Object is a store object in the layers of an image.
type Object struct {
	Name    string
	Hash    string // of the NAR, in hexadecimal digits, computed from the layers; "" if it is unknown
	Size    int64
	Changed bool // on purpose, as the image's history says
}

// Problem is a difference between a statement and an image.
type Problem struct {
	Path string // of a file in the image, without a slash at the beginning; "" for the image itself
	What string
}

// CheckOptions control [Check].
type CheckOptions struct {
	Scanner *Scanner // has read the files of the image
	// SignedBy, if not empty, has to sign each store path: at least one of these keys.
	SignedBy trust.Keys
}

// Checked is the result of a check.
type Checked struct {
	Problems []Problem
	Paths    int            // in the statement
	Unsigned int            // of them without any signature, if CheckOptions.SignedBy wants one
	SignedBy map[string]int // how many of them each key of CheckOptions.SignedBy has signed; by "name:base64"
}

// Check compares a statement with an image. These have to be true:
//
//   - The statement is about this digest, and of the kind that fits.
//   - The store holds exactly the listed paths, and nothing else. Each has the NAR hash and size of the statement.
//   - The statement and the image's history agree on what was changed on purpose. Such a path is compared with no hash.
//   - Each reference of a path is to a listed path, and neither a file nor a text of the config mentions another one, except those that the [Scanner] allows.
//   - An index has exactly the parts of the statement, in its order. The parts have statements of their own.
//   - One of the keys of CheckOptions.SignedBy, if there are any, has signed each path as Nix does, see [trust.Fingerprint].
//
// Files outside of the store are covered by the digest alone. So is the base image that the statement names.
func Check(s *Statement, c *Contents, o CheckOptions) *Checked {
	r := &Checked{Paths: len(s.Paths), SignedBy: make(map[string]int)}
	switch {
	case s.Subject != c.Digest:
		r.addf("", "the statement is about %s", s.Subject)
		return r
	case c.Index && s.Kind != OfIndex:
		r.addf("", "the statement is about an image, but this is an index")
		return r
	case !c.Index && s.Kind == OfIndex:
		r.addf("", "the statement is about an index, but this is an image")
		return r
	case c.Index:
		r.compareParts(s, c)
		return r
	}
	r.comparePaths(s, c)
	r.checkReferences(s, o.Scanner)
	r.Problems = append(r.Problems, o.Scanner.unlisted(s, c)...)
	if len(o.SignedBy) > 0 {
		r.checkSignatures(s, o.SignedBy)
	}
	return r
}

func (r *Checked) addf(path, format string, args ...any) {
	r.Problems = append(r.Problems, Problem{path, fmt.Sprintf(format, args...)})
}

func (r *Checked) compareParts(s *Statement, c *Contents) {
	for i := range max(len(s.Parts), len(c.Parts)) {
		switch {
		case i >= len(s.Parts):
			r.addf("", "part %d is %s, but the statement has only %d", i+1, c.Parts[i], len(s.Parts))
		case i >= len(c.Parts):
			r.addf("", "part %d of the statement is %s, but the index has only %d", i+1, s.Parts[i].Digest, len(c.Parts))
		case s.Parts[i].Digest != c.Parts[i]:
			r.addf("", "part %d is %s, but the statement says %s", i+1, c.Parts[i], s.Parts[i].Digest)
		}
	}
}

// comparePaths compares the listed paths with the objects.
func (r *Checked) comparePaths(s *Statement, c *Contents) {
	byRoot := make(map[string]*Path, len(s.Paths))
	for i := range s.Paths {
		byRoot[s.Paths[i].Path.Root()] = &s.Paths[i]
	}
	for _, o := range c.Objects {
		root := c.StoreDir.Object(o.Name)
		p := byRoot[root]
		delete(byRoot, root)
		switch {
		case p == nil:
			r.addf(root, "is in the image, but the statement does not list it")
		case p.Changed && !o.Changed:
			r.addf(root, "was changed on purpose, says the statement, but the image's history does not")
		case !p.Changed && o.Changed:
			r.addf(root, "was changed on purpose, says the image's history, but the statement does not")
		case p.Changed:
		case o.Hash == "":
			r.addf(root, "has an unknown NAR hash: its files are spread over several layers, or are not in the order of a NAR")
		case o.Hash != p.NarHash.Hex():
			r.addf(root, "its NAR hash is %s, but the statement says %s", o.Hash, p.NarHash.Hex())
		case o.Size != p.NarSize:
			r.addf(root, "its NAR has %d bytes, but the statement says %d", o.Size, p.NarSize)
		}
	}
	var missing []string
	for root := range byRoot {
		missing = append(missing, root)
	}
	slices.Sort(missing)
	for _, root := range missing {
		r.addf(root, "is not in the image, but the statement lists it")
	}
	slices.SortStableFunc(r.Problems, func(a, b Problem) int { return cmp.Compare(a.Path, b.Path) })
}

func (r *Checked) checkReferences(s *Statement, scanner *Scanner) {
	listed := make(map[profile.Path]bool, len(s.Paths))
	for _, p := range s.Paths {
		listed[p.Path] = true
	}
	for _, p := range s.Paths {
		for _, ref := range p.References {
			if !listed[ref] && !scanner.allows(ref.Base()) {
				r.addf(p.Path.Root(), "refers to %q, says the statement, and does not list that", ref.Base())
			}
		}
	}
}

// checkSignatures checks the signatures of Nix. It counts for each key the paths that it has signed.
// Keys of one name are different keys.
func (r *Checked) checkSignatures(s *Statement, keys trust.Keys) {
	for i := range s.Paths {
		p := &s.Paths[i]
		if p.Changed {
			r.addf(p.Path.Root(), "was changed on purpose, so no signature is about it")
			continue
		}
		if len(p.Signatures) == 0 {
			r.Unsigned++
		}
		message := []byte(trust.Fingerprint(p.Info()))
		signed := false
		for n, k := range keys {
			if slices.ContainsFunc(keys[:n], func(had trust.Key) bool { return had.Name == k.Name && had.Public.Equal(k.Public) }) {
				continue
			}
			if err := (trust.Keys{k}).Verify(message, p.Signatures); err == nil {
				signed = true
				r.SignedBy[k.Name+":"+base64.StdEncoding.EncodeToString(k.Public)]++
			}
		}
		if signed {
			continue
		}
		why := keys.Verify(message, p.Signatures).Error()
		if p.CA != "" {
			why += "; it has a content address, which is no signature"
		}
		r.addf(p.Path.Root(), "is signed by no required key: %s", why)
	}
}
