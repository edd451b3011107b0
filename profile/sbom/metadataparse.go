package sbom

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// MaxMetadata is the most that a metadata file may have, in bytes. One about all of nixpkgs has about 60 MB.
const MaxMetadata = 100_000_000

// MetadataSchema is the JSON schema of metadata files.
//
//go:embed metadata.schema.json
var MetadataSchema []byte

// Limits of a metadata file, which the schema has too. Those of strings count characters.
const (
	maxList   = 64   // licences, or CPEs
	maxLine   = 1024 // URLs, purls, CPEs, names and expressions
	maxPhrase = 4096 // descriptions
)

// ParseMetadata parses a metadata file, JSON in UTF-8:
//
//	{"version": 1, "packages": {"curl-8.4.0": {"cpes": ["cpe:2.3:a:haxx:curl:8.4.0:*:*:*:*:*:*:*"]}}}
//
// The fields of a package are those of [Package]; [MetadataSchema] describes them all.
// An unknown field, a key that is there twice, null, and a value out of form are errors that name their line.
func ParseMetadata(b []byte) (MetadataFile, error) {
	if len(b) > MaxMetadata {
		return nil, fmt.Errorf("larger than %d MB", MaxMetadata/1_000_000)
	}
	if !utf8.Valid(b) {
		return nil, errors.New("not UTF-8")
	}
	p := &metadataParser{Decoder: json.NewDecoder(bytes.NewReader(b)), b: b, line: 1}
	p.UseNumber()
	file, err := p.file()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", p.line, err)
	}
	return file, nil
}

// metadataParser reads tokens, so that it sees keys that are there twice, and refuses an unknown field before its value.
type metadataParser struct {
	*json.Decoder
	b    []byte
	at   int // lines are counted up to here
	line int // of the last token
}

// token returns the next token. No token spans lines: strings in JSON have no line breaks.
func (p *metadataParser) token() (json.Token, error) {
	t, err := p.Token()
	end := int(p.InputOffset())
	p.line += bytes.Count(p.b[p.at:end], []byte("\n"))
	p.at = end
	return t, err
}

func (p *metadataParser) file() (file MetadataFile, err error) {
	version := false
	err = p.object(func(key string) (err error) {
		switch key {
		case "$schema": // for editors
			_, err = p.text(maxLine)
		case "version":
			var t json.Token
			if t, err = p.token(); err == nil && t != json.Number("1") {
				err = fmt.Errorf("version %s: want 1", describe(t))
			}
			version = true
		case "packages":
			file, err = p.packages()
		default:
			err = unknownField(key, "version or packages")
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case !version:
		return nil, errors.New(`no "version"`)
	case file == nil:
		return nil, errors.New(`no "packages"`)
	}
	if t, err := p.token(); err == nil {
		return nil, fmt.Errorf("%s after the end", describe(t))
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return file, nil
}

func (p *metadataParser) packages() (MetadataFile, error) {
	file := make(MetadataFile)
	err := p.object(func(key string) (err error) {
		if !keyPattern().MatchString(key) {
			return fmt.Errorf("package %q: want a store path, or the name of one without its hash", key)
		}
		if file[key], err = p.pkg(); err != nil {
			return fmt.Errorf("package %q: %w", key, err)
		}
		return nil
	})
	return file, err
}

func (p *metadataParser) pkg() (*Package, error) {
	pkg := new(Package)
	err := p.object(func(key string) (err error) {
		switch key {
		case "licenses":
			pkg.Licenses, err = list(p, p.license)
		case "cpes":
			pkg.CPEs, err = list(p, func() (string, error) { return p.match(cpePattern, "a CPE 2.3 name") })
		case "purl":
			pkg.PURL, err = p.match(purlPattern, "a package URL")
		case "homepage":
			pkg.Homepage, err = p.url()
		case "source":
			pkg.Source, err = p.url()
		case "description":
			pkg.Description, err = p.text(maxPhrase)
		case "supplier":
			pkg.Supplier, err = p.supplier()
		default:
			return unknownField(key, "licenses, cpes, purl, homepage, source, description or supplier")
		}
		return inField(key, err)
	})
	return pkg, err
}

func (p *metadataParser) license() (l License, err error) {
	err = p.object(func(key string) (err error) {
		switch key {
		case "spdx":
			if l.SPDX, err = p.match(expressionPattern, "an SPDX expression"); err == nil {
				_, err = parseExpression(l.SPDX)
			}
		case "name":
			l.Name, err = p.text(maxLine)
		case "url":
			l.URL, err = p.url()
		default:
			return unknownField(key, "spdx, or name and url")
		}
		return inField(key, err)
	})
	if err == nil && (l.SPDX == "") == (l.Name == "") || l.SPDX != "" && l.URL != "" {
		err = errors.New("want either spdx, or name and perhaps url")
	}
	return l, err
}

func (p *metadataParser) supplier() (*Supplier, error) {
	s := new(Supplier)
	err := p.object(func(key string) (err error) {
		switch key {
		case "name":
			s.Name, err = p.text(maxLine)
		case "url":
			s.URL, err = p.url()
		default:
			return unknownField(key, "name or url")
		}
		return inField(key, err)
	})
	if err == nil && s.Name == "" {
		err = errors.New("no name")
	}
	return s, err
}

// object parses an object, and calls value for each key.
func (p *metadataParser) object(value func(key string) error) error {
	if err := p.delim('{', "an object"); err != nil {
		return err
	}
	seen := make(map[string]bool)
	for p.More() {
		t, err := p.token()
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok {
			return fmt.Errorf("%s: want a key", describe(t))
		}
		if seen[key] {
			return fmt.Errorf("%q is there twice", key)
		}
		seen[key] = true
		if err := value(key); err != nil {
			return err
		}
	}
	return p.delim('}', "the end of the object")
}

// list parses a list. It is never nil.
func list[T any](p *metadataParser, item func() (T, error)) ([]T, error) {
	all := []T{}
	if err := p.delim('[', "a list"); err != nil {
		return nil, err
	}
	for p.More() {
		if len(all) == maxList {
			return nil, fmt.Errorf("more than %d", maxList)
		}
		one, err := item()
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, p.delim(']', "the end of the list")
}

func (p *metadataParser) delim(want json.Delim, name string) error {
	t, err := p.token()
	if err == nil && t != want {
		err = fmt.Errorf("%s: want %s", describe(t), name)
	}
	return err
}

// text parses a string with at least one character and no control characters.
func (p *metadataParser) text(most int) (string, error) {
	t, err := p.token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	switch n := utf8.RuneCountInString(s); {
	case !ok:
		return "", fmt.Errorf("%s: want a string", describe(t))
	case s == "":
		return "", errors.New("empty; leave out what is not known")
	case n > most:
		return "", fmt.Errorf("longer than %d characters", most)
	case strings.ContainsFunc(s, isControl):
		return "", fmt.Errorf("%q has a control character", s)
	}
	return s, nil
}

func isControl(r rune) bool { return r < ' ' || 0x7f <= r && r < 0xa0 }

func inField(name string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func unknownField(name, want string) error {
	return fmt.Errorf("unknown field %q: want %s", name, want)
}

// describe shows a token in an error.
func describe(t json.Token) string {
	switch t := t.(type) {
	case nil:
		return "null"
	case string:
		return fmt.Sprintf("%.100q", t)
	}
	return fmt.Sprint(t)
}
