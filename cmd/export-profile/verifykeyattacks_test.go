package main

import (
	"archive/tar"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/attestation"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
)

// Reasons for which an attack is refused.
const (
	whyForged   = `names a given key, but its signature does not verify|cannot be read|1 by key|1 by another key, or by none`
	whyOther    = `1 by key "maker-1:`
	whyReplayed = `1 by a given key about another image`
	whyDigest   = `has the digest |read layer|read blob|cannot be read|: not JSON`
	whyPaths    = `its NAR hash is|its NAR has|is in the image, but the statement|is not in the image, but the statement|mentions "|` +
		`refers to "|changed on purpose|is signed by no required key`
)

// attacks lists what an attacker can do. The test does them in turn.
var attacks = []struct {
	name, why string
	attack    func(*attack)
}{
	{"payload", whyForged, func(a *attack) { a.setPayload(a.garble(a.payload())) }},
	{"payload, signed by a namesake", whyOther, func(a *attack) {
		payload := a.garble(a.payload())
		a.lines = nil
		a.sign(payload, a.namesake)
	}},
	{"statement, signed by a namesake", whyOther, func(a *attack) {
		a.lines = nil
		a.change(a.lie, a.namesake)
	}},
	{"statement, signed by the maker", whyPaths, func(a *attack) {
		a.lines = nil
		a.change(a.lie)
	}},
	{"contradiction, signed by the maker", whyPaths, func(a *attack) { a.change(a.lie) }},
	{"bundle", whyForged + `|none made it|signature: `, func(a *attack) {
		payload := a.payload()
		a.lines[0] = strings.ReplaceAll(string(a.garble([]byte(a.lines[0]))), "\n", " ")
		a.proof = func() bool { return a.stillSigned(a.lines[0], payload) }
	}},
	{"envelope", whyForged, func(a *attack) {
		other := *a
		other.lines = nil
		other.change(func(s *attestation.Statement) { s.Name = "other" })
		a.what = "the signature of another statement"
		a.setPayload(other.payload())
	}},
	{"manifest", whyDigest + "|" + whyReplayed, func(a *attack) { a.document(a.index.Manifests[0].Digest, a.saveManifest) }},
	{"config", whyDigest + "|" + whyReplayed, func(a *attack) { a.document(a.manifest.Config.Digest, a.saveConfig) }},
	{"layer", whyDigest, func(a *attack) {
		name := a.blob(a.manifest.Layers[a.r.IntN(len(a.manifest.Layers))].Digest)
		b, err := os.ReadFile(name)
		a.must(err)
		b[a.r.IntN(len(b))] ^= 1 << a.r.IntN(8)
		a.must(os.WriteFile(name, b, 0o600))
	}},
	{"contents", whyReplayed, func(a *attack) { a.contents() }},
	{"contents, signed by a namesake", whyOther, func(a *attack) {
		a.contents()
		a.lines = nil
		a.state(a.statement(), a.namesake)
	}},
	{"contents, signed by the maker", whyPaths, func(a *attack) {
		a.contents()
		a.lines = nil
		a.state(a.statement())
	}},
	{"another program's layer", whyPaths + `|is changed by another program|is hidden by another program`, func(a *attack) {
		a.otherLayer()
		a.lines = nil
		a.state(a.statement())
	}},
	{"history", whyReplayed, func(a *attack) {
		h := &a.config.History[a.r.IntN(len(a.config.History))]
		h.Comment = strings.TrimSpace(strings.ToValidUTF8(string(a.garble([]byte(h.Comment+" -x"))), "?"))
		a.save()
	}},
	{"another image's statement", whyReplayed, func(a *attack) {
		a.lines = nil
		a.change(func(s *attestation.Statement) {
			d := []byte(s.Subject)
			at := len("sha256:") + a.r.IntN(64)
			d[at] = "0123456789abcdef"[(strings.IndexByte("0123456789abcdef", d[at])+1+a.r.IntN(15))%16]
			s.Subject = string(d)
		})
	}},
	{"no statement", `no attestation was found`, func(a *attack) { a.lines = nil }},
	{"keys", whyForged + `|public key: `, func(a *attack) {
		before := a.keys
		a.keys = string(a.garble([]byte(a.keys)))
		a.proof = func() bool { return sameKeys(before, a.keys) }
	}},
	{"another key of the same name", whyOther, func(a *attack) { a.keys = a.namesake.Public().ID() }},
	{"empty key set", `public key: there is none`, func(a *attack) {
		a.keys = []string{"", " ", "\n\n", "# nothing", "# " + a.keys}[a.r.IntN(5)]
	}},
	{"required keys", `is signed by no required key|public key|read trusted keys`, func(a *attack) {
		before := a.required
		a.required = string(a.garble([]byte(a.required)))
		a.proof = func() bool { return sameKeys(before, a.required) }
	}},
	{"empty set of required keys", `there is no key in it`, func(a *attack) { a.required = []string{"", "\n", "# nothing"}[a.r.IntN(3)] }},
}

// document garbles a document, and repairs the digests that lead to it half of the time.
func (a *attack) document(d digest.Digest, save func([]byte)) {
	b, err := os.ReadFile(a.blob(d))
	a.must(err)
	b = a.garble(b)
	if a.r.IntN(2) == 0 {
		a.what += ", with repaired digests"
		save(b)
		return
	}
	a.must(os.WriteFile(a.blob(d), b, 0o600))
}

// lie changes what a statement says about the store paths.
func (a *attack) lie(s *attestation.Statement) {
	i := a.r.IntN(len(s.Paths))
	p, other := &s.Paths[i], &s.Paths[(i+1)%len(s.Paths)]
	kind := a.r.IntN(9)
	a.unrequired = kind < 8 && a.r.IntN(2) == 0 // Nix's signatures are not all that finds these
	switch kind {
	case 0:
		a.what = "path removed"
		s.Paths = slices.Delete(slices.Clone(s.Paths), i, i+1)
	case 1:
		a.what = "path added"
		s.Paths = append(s.Paths, attestation.Path{Path: a.anyPath(), NarHash: p.NarHash, NarSize: p.NarSize})
	case 2:
		a.what = "path exchanged"
		p.Path = a.anyPath()
	case 3:
		a.what = "hashes exchanged"
		p.NarHash, other.NarHash = other.NarHash, p.NarHash
	case 4:
		a.what = "hash changed"
		p.NarHash[a.r.IntN(len(p.NarHash))] ^= 1 << a.r.IntN(8)
	case 5:
		a.what = "size changed"
		p.NarSize += 1 + a.r.Int64N(1<<40)
	case 6:
		a.what = "changed on purpose"
		*p = attestation.Path{Path: p.Path, Changed: true}
	case 7:
		a.what = "references changed"
		p.References = append(slices.Clone(p.References), a.anyPath())
		slices.Sort(p.References)
	default:
		a.what = "signatures exchanged"
		p.Signatures, other.Signatures = other.Signatures, p.Signatures
	}
	slices.SortFunc(s.Paths, func(a, b attestation.Path) int { return strings.Compare(string(a.Path), string(b.Path)) })
}

func (a *attack) anyPath() profile.Path { return storetest.PathOf(fmt.Sprintf("any-%d", a.r.Uint32())) }

// contents changes a store object in its layer, and repairs the history and all digests.
func (a *attack) contents() {
	info := a.sample.Infos[a.r.IntN(len(a.sample.Infos))]
	at, root := a.layer(info.Path.Base()), info.Path.Root()
	a.edit(at, func(files []tarFile) []tarFile {
		var regulars, links []int
		first := 0
		for i, f := range files {
			switch {
			case !strings.HasPrefix(f.Name, root):
				first = i + 1
			case f.Typeflag == tar.TypeReg:
				regulars = append(regulars, i)
			case f.Typeflag == tar.TypeSymlink:
				links = append(links, i)
			}
		}
		f := &files[regulars[a.r.IntN(len(regulars))]]
		switch a.r.IntN(8) {
		case 0:
			a.what = "bit of " + f.Name
			f.content[a.r.IntN(len(f.content))] ^= 1 << a.r.IntN(8)
		case 1:
			a.what = f.Name + " cut"
			f.content = f.content[:a.r.IntN(len(f.content))]
		case 2:
			a.what = f.Name + " executable or no longer"
			f.Mode ^= 0o111
		case 3:
			a.what = "link changed"
			if len(links) > 0 {
				files[links[0]].Linkname += "x"
				break
			}
			f.content = append(f.content, 'x')
		case 4:
			a.what = "object exchanged for another"
			root = a.anyPath().Root()
			for i := range files[first:] {
				files[first+i].Name = root + strings.TrimPrefix(files[first+i].Name, info.Path.Root())
			}
		case 5:
			a.what = "object removed"
			root = ""
			return files[:first]
		case 6:
			a.what = "object added"
			more := regular(a.anyPath().Root(), "x")
			h := &a.config.History[at]
			defer func() { h.Comment += fmt.Sprintf(" %s:%d", path.Base(more.Name), 120) }()
			files = append(files, more)
		default:
			a.what = "object is another file"
			files = append(files[:first], regular(root, "x"))
		}
		return files
	})
	if strings.Contains(a.what, "added") {
		a.sortLayer(at)
	} else {
		a.claim(at, root)
	}
}

// sortLayer sorts the files of a layer and its history.
func (a *attack) sortLayer(at int) {
	a.edit(at, func(files []tarFile) []tarFile {
		slices.SortStableFunc(files, func(a, b tarFile) int {
			return rootfs.ComparePaths(strings.TrimSuffix(a.Name, "/"), strings.TrimSuffix(b.Name, "/"))
		})
		return files
	})
	words := strings.Fields(a.config.History[at].Comment)
	slices.Sort(words)
	a.config.History[at].Comment = strings.Join(words, " ")
	a.save()
}

// claim makes the history say what a layer of one store object holds; "" is for none.
func (a *attack) claim(at int, root string) {
	comment := ""
	if root != "" {
		a.edit(at, func(files []tarFile) []tarFile {
			var entries []rootfs.Entry
			for _, f := range files {
				name := strings.TrimSuffix(f.Name, "/")
				switch {
				case !rootfs.Within(root, name):
				case f.Typeflag == tar.TypeDir:
					entries = append(entries, rootfs.Dir(name, 0o555))
				case f.Typeflag == tar.TypeSymlink:
					entries = append(entries, rootfs.Link(name, f.Linkname))
				default:
					content := string(f.content)
					entries = append(entries, rootfs.File(name, rootfs.FileMode(uint32(f.Mode)), int64(len(content)), func() (io.ReadCloser, error) {
						return io.NopCloser(strings.NewReader(content)), nil
					}))
				}
			}
			hash, size, err := nar.Sum(func(yield func(rootfs.Entry, error) bool) {
				for _, e := range entries {
					if !yield(e, nil) {
						return
					}
				}
			}, root)
			a.must(err)
			comment = fmt.Sprintf("%s@%s:%d", path.Base(root), hash.Hex()[:12], size)
			return files
		})
	}
	a.config.History[at].Comment = comment
	a.save()
}

// otherLayer puts a layer of another program on top, which changes the store.
func (a *attack) otherLayer() {
	info := a.sample.Infos[a.r.IntN(len(a.sample.Infos))]
	object, any := info.Path.Root(), a.anyPath().Root()
	files := [][]tarFile{
		{regular(object, "x")},
		{regular(path.Dir(object)+"/.wh."+path.Base(object), "")},
		{regular("nix/store/.wh..wh..opq", "")},
		{regular(any, "x")},
		{{Header: link("srv", "nix/store")}, regular("y", "x")},
		{regular("srv/x", "see /"+any+"/bin")},
		{{Header: link("srv/x", "/"+any)}},
		{{Header: link("nix", "/srv")}},
	}[a.r.IntN(8)]
	a.what = fmt.Sprintf("%q", files[0].Name)
	if files[0].Linkname == "nix/store" { // the layer above writes through the link
		a.foreign(files[0])
		files = []tarFile{regular("srv/"+path.Base(any), "x")}
	}
	a.foreign(files...)
}
