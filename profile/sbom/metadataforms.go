package sbom

import (
	"fmt"
	"net/url"
	"regexp"
	"sync"
)

// Forms of strings in metadata files. The schema has the same. They are compiled when they are first used.
var (
	keyPattern = form(`^((/[!-.0-~]+)+/[0-9abcdfghijklmnpqrsvwxyz]{32}-)?[0-9A-Za-z+\-._?=]{1,211}$`)

	// cpePattern is that of SPDX 2.3, annex F.2, and of NIST IR 7695.
	cpePattern = form(`^cpe:2\.3:[aho*\-](:(((\?*|\*?)([a-zA-Z0-9\-._]|(\\[\\*?!"#$%&'()+,/:;<=>@\[\]^` + "`" + `{|}~]))+(\?*|\*?))|[*\-])){5}` +
		`(:(([a-zA-Z]{2,3}(-([a-zA-Z]{2}|[0-9]{3}))?)|[*\-]))(:(((\?*|\*?)([a-zA-Z0-9\-._]|(\\[\\*?!"#$%&'()+,/:;<=>@\[\]^` + "`" + `{|}~]))+(\?*|\*?))|[*\-])){4}$`)

	// purlPattern requires a type and a name. Other programs check the rest, which differs by type.
	purlPattern = form(`^pkg:[A-Za-z][A-Za-z0-9.+\-]*/([A-Za-z0-9.\-_~!$&'()*+,;=:@/?#]|%[0-9A-Fa-f]{2})+$`)

	// urlPattern leaves out what differs between RFC 3986 and what programs take, such as addresses in brackets, and passwords.
	urlPattern = form(`^[A-Za-z][A-Za-z0-9+.\-]*://(([A-Za-z0-9.\-_~!$&'()*+,;=@]|%[0-9A-Fa-f]{2})+(:[0-9]+)?)` +
		`([/?#]([A-Za-z0-9.\-_~!$&'()*+,;=:@/?#]|%[0-9A-Fa-f]{2})*)?$`)

	expressionPattern = form(`^[A-Za-z0-9.\-+() ]+$`)

	// vcsPattern matches repositories: git+https://… and the like, git://… and svn://…
	vcsPattern = form(`^(git|hg|bzr|svn)(\+[a-z]+)?://`)
)

// form returns a function that compiles an expression once.
func form(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

// match parses a string of a form.
func (p *metadataParser) match(form func() *regexp.Regexp, name string) (string, error) {
	s, err := p.text(maxLine)
	if err == nil && !form().MatchString(s) {
		err = fmt.Errorf("%q: want %s", s, name)
	}
	return s, err
}

// url parses an absolute URL of ASCII characters.
func (p *metadataParser) url() (string, error) {
	s, err := p.match(urlPattern, "a URL, such as https://example.com")
	if err == nil {
		_, err = url.Parse(s)
	}
	return s, err
}
