package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// A revision changes a package as a stable release of Debian does. We compared the last two revisions of twelve packages
// of Debian 12 (curl, git, haproxy, libc6, libcurl4, libexpat1, libpq5, libssl3, libxml2, openssh-client, python3.11-minimal, redis-tools):
//
//   - Every ELF file changes, and within it the share of pages of 4 KiB that changedPages lists.
//   - Of the other files only the changelog changes, and now and then another.
//   - The size changes little.
//
// We change a page by rotating its bytes. So it compresses as before, and no page ever returns to an earlier state.
// Pages that name store objects stay, since their digits change anyway.
var changedPages = []float64{0.14, 0.23, 0.32, 0.41, 0.76, 0.87, 0.93, 0.96, 0.97, 0.98, 0.98, 1}

const pageBytes = 4 << 10

// state says which revision of each package there is.
type state []int

// digits are those of Nix's base 32.
const digits = "0123456789abcdfghijklmnpqrsvwxyz"

func newDigest(b []byte) string {
	sum := sha256.Sum256(b)
	var d [digestLen]byte
	for i := range d {
		d[i] = digits[sum[i]%32]
	}
	return string(d[:])
}

// digests returns the digests of all packages in a state. A package that neither changed nor has a reference that did keeps its digest.
// Otherwise its digest follows from its revision and from the digests of its references, as in Nix.
func (u *universe) digests(s state) []string {
	found := make([]string, len(u.packages))
	var visit func(i int) string
	visit = func(i int) string {
		if found[i] != "" {
			return found[i]
		}
		p := u.packages[i]
		found[i] = p.digest() // ends cycles, which Nix does not make
		text := fmt.Sprintf("%s %d", p.base, s[i])
		changed := s[i] > 0
		for _, r := range p.refs {
			d := visit(r)
			changed = changed || d != u.packages[r].digest()
			text += " " + d
		}
		if changed {
			found[i] = newDigest([]byte(text))
		}
		return found[i]
	}
	for i := range u.packages {
		visit(i)
	}
	return found
}

// part returns a package in a state whose digests are known.
func (u *universe) part(s state, digests []string, i int) rootfs.Part {
	p := u.packages[i]
	name := digests[i] + "-" + p.name()
	root := storeRoot + "/" + name
	var refs []string
	for _, r := range p.refs {
		refs = append(refs, storeRoot+"/"+digests[r]+"-"+u.packages[r].name())
	}
	slices.Sort(refs)
	return rootfs.Part{
		Name: name, Root: root, Refs: refs, Size: p.narSize,
		Key: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(root))), // the digest follows from all that the content follows from
		Tree: func(yield func(rootfs.Entry, error) bool) {
			for _, f := range p.files {
				e := f.entry
				e.Path = root + e.Path
				if e.IsLink() {
					e.Target = u.rewriteTarget(e.Target, digests)
				}
				if e.IsRegular() {
					e.Open = func() (io.ReadCloser, error) {
						return io.NopCloser(bytes.NewReader(u.content(p, f, s[i], digests))), nil
					}
				}
				if !yield(e, nil) {
					return
				}
			}
		},
	}
}

// rewriteTarget returns the target of a link with new digests.
func (u *universe) rewriteTarget(target string, digests []string) string {
	rest, ok := strings.CutPrefix(target, "/"+storeRoot+"/")
	if !ok || len(rest) < digestLen {
		return target
	}
	for i, p := range u.packages {
		if p.digest() == rest[:digestLen] {
			return "/" + storeRoot + "/" + digests[i] + rest[digestLen:]
		}
	}
	return target
}

// content returns the content of a file in a revision of its package, with new digests.
func (u *universe) content(p *pkg, f file, revision int, digests []string) []byte {
	b := f.content
	cloned := false
	for _, m := range f.mentions {
		if digest := digests[m.pkg]; digest != u.packages[m.pkg].digest() {
			if !cloned {
				b, cloned = slices.Clone(b), true
			}
			copy(b[m.at:], digest)
		}
	}
	if revision == 0 || !p.revises(f) {
		return b
	}
	if !cloned {
		b = slices.Clone(b)
	}
	shares := make([]float64, revision) // of pages that each revision changes
	for k := range shares {
		shares[k] = 1
		if isELF(f.content) {
			shares[k] = changedPages[number(p.name(), "", k+1)%uint64(len(changedPages))]
		}
	}
	mentions := f.mentions
	seed := number(p.name(), f.entry.Path, 0)
	for start := 0; start < len(b); start += pageBytes {
		page := b[start:min(start+pageBytes, len(b))]
		named := false
		for len(mentions) > 0 && mentions[0].at < start+len(page) {
			named = true
			if mentions[0].at+digestLen > start+len(page) {
				break // it reaches into the next page
			}
			mentions = mentions[1:]
		}
		if named || len(page) < 2 {
			continue
		}
		rotation := uint64(0)
		for k, share := range shares {
			if n := mix(seed + uint64(start)*64 + uint64(k)); float64(n>>11)/(1<<53) < share {
				rotation += 1 + n%63
			}
		}
		rotate(page, int(rotation%uint64(len(page))))
	}
	return b
}

// rotate moves the first n bytes to the end.
func rotate(b []byte, n int) {
	slices.Reverse(b[:n])
	slices.Reverse(b[n:])
	slices.Reverse(b)
}

// revises reports whether a revision changes a file: an ELF file, or the changelog.
func (p *pkg) revises(f file) bool {
	return isELF(f.content) || strings.Contains(strings.ToLower(f.entry.Path), "/changelog.debian")
}

func isELF(b []byte) bool { return bytes.HasPrefix(b, []byte("\x7fELF")) }

// number returns a number that follows from a name, a path and another number, and looks random.
func number(name, path string, n int) uint64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", name, path, n))
	return binary.LittleEndian.Uint64(sum[:])
}

// mix is the finalizer of SplitMix64: a bijection that looks random.
func mix(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}
