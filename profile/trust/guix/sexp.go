package guix

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxDepth limits how deep lists lie in each other. Signatures need 4 levels, lists of keys 5.
const maxDepth = 16

// expression is an s-expression: an atom or a list.
type expression struct {
	atom   string
	list   []expression
	isList bool
}

// parseExpressions parses the lists in a text, which white space separates.
//
// It takes the forms that libgcrypt writes and people have in files: "3:abc", tokens, "quoted strings", #hexadecimal# and |base 64|.
// It is stricter than libgcrypt: the outermost expressions are lists, nothing else is between them,
// and there are neither display hints nor lengths before anything but a colon.
func parseExpressions(text string) ([]expression, error) {
	p := parser{text: text}
	var all []expression
	for p.space(); p.at < len(text); p.space() {
		if text[p.at] != '(' {
			return nil, p.errorf("no parenthesis opens here")
		}
		e, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// parser parses a text from at on.
type parser struct {
	text string
	at   int
}

func (p *parser) errorf(format string, args ...any) error {
	return fmt.Errorf("s-expression, byte %d: %s", p.at, fmt.Sprintf(format, args...))
}

func (p *parser) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\n\v\f\r", p.text[p.at]) >= 0 {
		p.at++
	}
}

// expression parses the list or the atom at p.at.
func (p *parser) expression(depth int) (e expression, err error) {
	switch c := p.text[p.at]; {
	case c == '(':
		return p.list(depth + 1)
	case '0' <= c && c <= '9':
		e.atom, err = p.counted()
	case c == '"':
		e.atom, err = p.quoted()
	case c == '#':
		e.atom, err = p.delimited(func(s string) (string, error) {
			b, err := hex.DecodeString(s)
			return string(b), err
		})
	case c == '|':
		e.atom, err = p.delimited(func(s string) (string, error) {
			b, err := base64.RawStdEncoding.DecodeString(strings.TrimSuffix(strings.TrimSuffix(s, "="), "="))
			return string(b), err
		})
	case isToken(c):
		begin := p.at
		for p.at < len(p.text) && isToken(p.text[p.at]) {
			p.at++
		}
		e.atom = p.text[begin:p.at]
	default:
		err = p.errorf("no expression begins with %q", c)
	}
	return e, err
}

func isToken(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.IndexByte("-./_:*+=", c) >= 0
}

func (p *parser) list(depth int) (expression, error) {
	if depth > maxDepth {
		return expression{}, p.errorf("more than %d lists in each other", maxDepth)
	}
	e := expression{isList: true}
	p.at++
	for {
		p.space()
		switch {
		case p.at == len(p.text):
			return e, p.errorf("it ends inside a list")
		case p.text[p.at] == ')':
			p.at++
			return e, nil
		}
		item, err := p.expression(depth)
		if err != nil {
			return e, err
		}
		e.list = append(e.list, item)
	}
}

// counted parses a length, a colon and as many bytes.
func (p *parser) counted() (string, error) {
	digits, rest, ok := strings.Cut(p.text[p.at:], ":")
	n, err := strconv.ParseUint(digits, 10, 31)
	switch {
	case !ok || err != nil || digits[0] == '0':
		return "", p.errorf("neither a token nor a length and a colon")
	case n > uint64(len(rest)):
		return "", p.errorf("it ends before the %d bytes that begin here", n)
	}
	p.at += len(digits) + 1 + int(n)
	return rest[:n], nil
}

// delimited parses the text up to the next character like the one at p.at.
func (p *parser) delimited(decode func(string) (string, error)) (string, error) {
	mark := p.text[p.at : p.at+1]
	inside, _, ok := strings.Cut(p.text[p.at+1:], mark)
	if !ok {
		return "", p.errorf("no %s ends what begins here", mark)
	}
	compact := strings.Join(strings.Fields(inside), "")
	s, err := decode(compact)
	if err != nil {
		return "", p.errorf("no right code between two %s", mark)
	}
	p.at += len(inside) + 2
	return s, nil
}

// escapes holds what a letter behind a backslash means.
var escapes = map[byte]byte{
	'b': '\b', 't': '\t', 'v': '\v', 'n': '\n', 'f': '\f', 'r': '\r', '"': '"', '\'': '\'', '\\': '\\',
}

// quoted parses a quoted string. Its escapes are those of C. A backslash also hides the end of a line.
func (p *parser) quoted() (string, error) {
	fail := func(why string) (string, error) { return "", p.errorf("%s in the quoted string that begins here", why) }
	var b strings.Builder
	for rest := p.text[p.at+1:]; rest != ""; {
		c := rest[0]
		rest = rest[1:]
		switch {
		case c == '"':
			p.at = len(p.text) - len(rest)
			return b.String(), nil
		case c != '\\':
			b.WriteByte(c)
			continue
		}
		after, decoded, err := unescape(rest)
		if err != nil {
			return fail(err.Error())
		}
		b.WriteString(decoded)
		rest = after
	}
	return fail("no end")
}

// unescape decodes what follows a backslash. It returns the rest and the bytes.
func unescape(s string) (rest, decoded string, err error) {
	number := func(digits string, base int) (string, string, error) {
		n, err := strconv.ParseUint(digits, base, 8)
		if err != nil {
			return "", "", errors.New("a bad number behind a backslash")
		}
		return s[len(digits):], string([]byte{byte(n)}), nil
	}
	switch {
	case s == "":
		return "", "", errors.New("no end")
	case strings.HasPrefix(s, "\r\n"), strings.HasPrefix(s, "\n\r"):
		return s[2:], "", nil
	case s[0] == '\n' || s[0] == '\r':
		return s[1:], "", nil
	case s[0] == 'x' && len(s) > 2:
		s = s[1:]
		return number(s[:2], 16)
	case '0' <= s[0] && s[0] <= '7' && len(s) > 2:
		return number(s[:3], 8)
	}
	c, ok := escapes[s[0]]
	if !ok {
		return "", "", errors.New("a backslash before something else")
	}
	return s[1:], string([]byte{c}), nil
}

// head returns the first atom of a list, or "".
func (e expression) head() string {
	if !e.isList || len(e.list) == 0 {
		return ""
	}
	return e.list[0].atom
}

// parts returns the lists in a list that begin with the names, in this order: (head (name …) (name …) …).
// A list that is absent is a zero expression. Anything else in the list is an error.
func (e expression) parts(head string, names ...string) ([]expression, error) {
	if e.head() != head {
		return nil, fmt.Errorf("no list of %q", head)
	}
	found := make([]expression, len(names))
next:
	for _, item := range e.list[1:] {
		for i, name := range names {
			if item.head() != name {
				continue
			}
			if found[i].isList {
				return nil, fmt.Errorf("two lists of %q in %q", name, head)
			}
			found[i] = item
			continue next
		}
		return nil, fmt.Errorf("something unknown in %q", head)
	}
	return found, nil
}

// values returns the atoms in a list behind its name: (name value value).
func (e expression) values() ([]string, bool) {
	if !e.isList || len(e.list) == 0 {
		return nil, false
	}
	var atoms []string
	for _, item := range e.list[1:] {
		if item.isList {
			return nil, false
		}
		atoms = append(atoms, item.atom)
	}
	return atoms, true
}

// value returns the atom in a list behind its name: (name value).
func (e expression) value() (string, bool) {
	if atoms, ok := e.values(); ok && len(atoms) == 1 {
		return atoms[0], true
	}
	return "", false
}
