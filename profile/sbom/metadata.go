package sbom

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"strings"

	"github.com/export-profile/export-profile/profile"
)

// Metadata says of packages what Nix's store does not know: licences, CPEs, where the source is.
// Each element is one file, as [ParseMetadata] returns it.
//
// An entry of a file is about a store path, about all packages of a name and version, or about all of a name.
// If several entries match a store path, each field comes from the first of them that has it:
// later files come before earlier ones, and in a file, a store path before a name and version before a name.
// So a second file can correct single fields of a file that Nix has written.
type Metadata []MetadataFile

// MetadataFile maps store paths, such as "/nix/store/<hash>-curl-8.4.0-bin"; names with a version,
// such as "curl-8.4.0-bin"; and names, such as "curl", to what a file says of them.
// Name and version are those of the documents: Nix splits the name of the store path at the first dash that no letter follows.
type MetadataFile map[string]*Package

// Package is what a metadata file says of a package. A zero field means that it says nothing.
type Package struct {
	// Licenses all apply, as the lists of nixpkgs mean.
	Licenses []License `json:"licenses,omitempty"`
	// CPEs are CPE 2.3 names, formatted strings (NIST IR 7695, section 6.2).
	CPEs []string `json:"cpes,omitempty"`
	// PURL is a package URL (https://github.com/package-url/purl-spec), which replaces that of type nix.
	PURL string `json:"purl,omitempty"`
	// Homepage is the URL of a page for people.
	Homepage string `json:"homepage,omitempty"`
	// Source is the URL of the source's archive, or a repository as SPDX 2.3 writes it in section 7.7:
	// git+https://host/name.git@revision.
	Source string `json:"source,omitempty"`
	// Description is one line about the package.
	Description string `json:"description,omitempty"`
	// Supplier is the organization from which the recipient gets the package.
	Supplier *Supplier `json:"supplier,omitempty"`
}

// License is a licence, either by its identifier or by its name.
type License struct {
	// SPDX is an identifier of the SPDX licence list or an expression of SPDX 2.3, annex D, without DocumentRef.
	SPDX string `json:"spdx,omitempty"`
	// Name is the full name of a licence that is not on the list.
	Name string `json:"name,omitempty"`
	// URL is where the text of a licence with a Name is, if known.
	URL string `json:"url,omitempty"`
}

// Supplier is an organization.
type Supplier struct {
	Name string `json:"name"`
	URL  string `json:"url,omitempty"`
}

// Unmatched counts the entries that are about none of the closure's store paths.
func (m Metadata) Unmatched(c *profile.Closure) int {
	if len(m) == 0 {
		return 0
	}
	matched := make(map[string]bool)
	for _, info := range c.Infos {
		for _, key := range keys(info.Path) {
			matched[key] = true
		}
	}
	n := 0
	for _, file := range m {
		for key := range file {
			if !matched[key] {
				n++
			}
		}
	}
	return n
}

// keys returns the keys of the entries about a store path, the most specific first.
func keys(p profile.Path) [3]string {
	name, _ := split(p)
	return [3]string{string(p), p.Name(), name}
}

// of returns what all files say of a store path.
func (m Metadata) of(p profile.Path) (all Package) {
	for k := len(m) - 1; k >= 0; k-- {
		for _, key := range keys(p) {
			if one := m[k][key]; one != nil {
				all.add(one)
			}
		}
	}
	return all
}

// Licence returns the licences of a store path as one line: SPDX expressions and names, joined by AND, since all of them apply.
// It returns "" if no file says any.
func (m Metadata) Licence(p profile.Path) string {
	licenses := m.of(p).Licenses
	var all []string
	for _, l := range licenses {
		word := cmp.Or(l.SPDX, l.Name)
		if strings.Contains(l.SPDX, " OR ") && len(licenses) > 1 {
			word = "(" + word + ")"
		}
		all = append(all, word)
	}
	return strings.Join(all, " AND ")
}

// add adds the fields that p lacks. An empty list is a field: it says that there are none.
func (p *Package) add(o *Package) {
	if p.Licenses == nil {
		p.Licenses = o.Licenses
	}
	if p.CPEs == nil {
		p.CPEs = o.CPEs
	}
	p.PURL = cmp.Or(p.PURL, o.PURL)
	p.Homepage = cmp.Or(p.Homepage, o.Homepage)
	p.Source = cmp.Or(p.Source, o.Source)
	p.Description = cmp.Or(p.Description, o.Description)
	p.Supplier = cmp.Or(p.Supplier, o.Supplier)
}

// sum hashes what the documents of a closure take from the metadata.
// Metadata that says nothing of the closure leaves the hash alone.
func (m Metadata) sum(h hash.Hash, c *profile.Closure) {
	for _, info := range c.Infos {
		p := m.of(info.Path)
		text, err := json.Marshal(p)
		if err != nil {
			panic(err) // strings always have a form in JSON
		}
		if string(text) != "{}" {
			fmt.Fprintf(h, "%s %x\n", info.Path, sha256.Sum256(text))
		}
	}
}

// isVCS reports whether a source is a repository.
func (p *Package) isVCS() bool { return vcsPattern().MatchString(p.Source) }
