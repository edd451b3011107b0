package sbom

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// licenseList has the identifiers of licences and exceptions that the schema of CycloneDX 1.6 allows, one a line.
// A later identifier of the SPDX list is written as a licence of its own, in which a validator finds no fault.
//
//go:embed licenses.txt
var licenseList string

// listed maps identifiers in lower case, since case does not matter in them, to the list's spelling.
var listed = sync.OnceValue(func() map[string]string {
	all := make(map[string]string)
	for id := range strings.Lines(licenseList) {
		id = strings.TrimSuffix(id, "\n")
		all[strings.ToLower(id)] = id
	}
	return all
})

// spell writes the expression with identifiers as the list spells them, and others as references.
func (e expression) spell(refs *licenseRefs) string {
	var b strings.Builder
	for i, word := range e {
		if i > 0 && e[i-1] != "(" && word != ")" {
			b.WriteByte(' ')
		}
		if isIdentifier(word) && (i == 0 || e[i-1] != "WITH") {
			word = refs.identifier(word)
		}
		b.WriteString(word)
	}
	return b.String()
}

// single returns the identifier of an expression that is only an identifier of the list.
func (e expression) single() (id string, ok bool) {
	if len(e) == 1 {
		id, ok = listed()[strings.ToLower(e[0])]
	}
	return id, ok
}

// licenseRefs gives licences that are not on the list an identifier, LicenseRef-…, in a document.
type licenseRefs struct {
	ids   map[License]string
	taken map[string]bool // in lower case
	all   []*v2_3.OtherLicense
}

const licenseRef = "LicenseRef-"

// identifier returns how a word of an expression is spelt in a document.
func (r *licenseRefs) identifier(word string) string {
	plain, later := strings.TrimSuffix(word, "+"), ""
	if plain != word {
		later = "+"
	}
	if id, ok := listed()[strings.ToLower(word)]; ok { // such as the deprecated GPL-2.0+
		return id
	}
	if id, ok := listed()[strings.ToLower(plain)]; ok {
		return id + later
	}
	return r.of(License{Name: strings.TrimPrefix(word, licenseRef)})
}

// of returns the identifier of a licence that has a name.
func (r *licenseRefs) of(l License) string {
	if id, ok := r.ids[l]; ok {
		return id
	}
	base := licenseRef + strings.Trim(strings.Map(func(c rune) rune {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '.', c == '-':
			return c
		}
		return '-'
	}, l.Name), "-")
	if base == licenseRef {
		base += "other"
	}
	id := base
	for n := 2; r.taken[strings.ToLower(id)]; n++ {
		id = fmt.Sprintf("%s-%d", base, n)
	}
	if r.ids == nil {
		r.ids, r.taken = make(map[License]string), make(map[string]bool)
	}
	r.ids[l], r.taken[strings.ToLower(id)] = id, true
	other := &v2_3.OtherLicense{LicenseIdentifier: id, ExtractedText: noAssertion, LicenseName: l.Name}
	if l.URL != "" {
		other.LicenseCrossReferences = []string{l.URL}
	}
	r.all = append(r.all, other)
	return id
}

// conjunction returns the expression that all licences apply, or "" without licences.
func conjunction(licenses []License, refs *licenseRefs) string {
	var terms []string
	seen := make(map[string]bool)
	for _, l := range licenses {
		term := ""
		if l.SPDX == "" {
			term = refs.of(l)
		} else if e, err := parseExpression(l.SPDX); err == nil { // ParseMetadata refuses others
			term = e.spell(refs)
		}
		if !seen[term] {
			terms = append(terms, term)
		}
		seen[term] = true
	}
	if len(terms) > 1 {
		for i, term := range terms {
			if strings.Contains(term, " OR ") {
				terms[i] = "(" + term + ")"
			}
		}
	}
	return strings.Join(terms, " AND ")
}

// cdxLicenses returns the licences of a component, or nil. CycloneDX 1.6 wants a list of identifiers and names, or one expression.
func cdxLicenses(licenses []License) *cdx.Licenses {
	if len(licenses) == 0 {
		return nil
	}
	var all cdx.Licenses
	seen := make(map[cdx.License]bool)
	for _, l := range licenses {
		one := cdx.License{Name: l.Name, URL: l.URL, Acknowledgement: cdx.LicenseAcknowledgementDeclared}
		if l.SPDX != "" {
			e, _ := parseExpression(l.SPDX)
			id, ok := e.single()
			switch {
			case ok:
				one.ID = id
			case len(e) == 1 && !strings.HasSuffix(e[0], "+"):
				one.Name = strings.TrimPrefix(e[0], licenseRef)
			default:
				declared := cdx.LicenseAcknowledgementDeclared
				return &cdx.Licenses{{Expression: conjunction(licenses, new(licenseRefs)), Acknowledgement: &declared}}
			}
		}
		if !seen[one] {
			all = append(all, cdx.LicenseChoice{License: &one})
		}
		seen[one] = true
	}
	return &all
}
