package binarycache

import (
	"fmt"
	"os"
	"strings"
)

// login is a user with a password.
type login struct{ user, password string }

// readNetrc finds the login for host in a netrc file: the first entry that names it, or the default entry.
func readNetrc(name, host string) (*login, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read netrc: %w", err)
	}
	found, err := parseNetrc(string(b), host)
	if err != nil {
		return nil, fmt.Errorf("read netrc %q: %w", name, err)
	}
	return found, nil
}

// parseNetrc understands the words machine, default, login, password, account and macdef;
// comments, from a word that begins with # to the end of the line; and double quotes, all as curl does.
// Its errors give line numbers but quote no words: a misplaced word may be a password.
func parseNetrc(text, host string) (*login, error) {
	s := netrcScanner{text: text, line: 1}
	var found *login
	var entry *login // the current entry, if it is host's
	begun := false
	for {
		word, err := s.next()
		if err != nil {
			return nil, err
		}
		switch word {
		case "":
			return found, nil
		case "machine", "default":
			name := host
			if word == "machine" {
				if name, err = s.value(); err != nil {
					return nil, err
				}
			}
			entry, begun = nil, true
			if found == nil && strings.EqualFold(name, host) {
				entry = &login{}
				found = entry
			}
		case "login", "password", "account":
			if !begun {
				return nil, s.errorf("%s before any machine", word)
			}
			value, err := s.value()
			switch {
			case err != nil:
				return nil, err
			case entry == nil, word == "account":
			case word == "login":
				entry.user = value
			default:
				entry.password = value
			}
		case "macdef":
			s.skipMacro()
		default:
			return nil, s.errorf("unknown word")
		}
	}
}

type netrcScanner struct {
	text string
	line int
}

func (s *netrcScanner) errorf(format string, args ...any) error {
	return fmt.Errorf("line %d: %s", s.line, fmt.Sprintf(format, args...))
}

// value scans a value, which must exist.
func (s *netrcScanner) value() (string, error) {
	line := s.line
	word, quoted, err := s.scan(false)
	if err == nil && word == "" && !quoted {
		s.line = line
		err = s.errorf("missing value at the end")
	}
	return word, err
}

// next scans a word that is not a value. It returns "" at the end.
func (s *netrcScanner) next() (string, error) {
	word, quoted, err := s.scan(true)
	if err == nil && quoted {
		err = s.errorf("quoted value in place of a word")
	}
	return word, err
}

func (s *netrcScanner) scan(comments bool) (word string, quoted bool, err error) {
	for s.text != "" {
		switch c := s.text[0]; {
		case c == '\n':
			s.line++
			fallthrough
		case c == ' ', c == '\t', c == '\r':
			s.text = s.text[1:]
		case c == '#' && comments:
			_, after, _ := strings.Cut(s.text, "\n")
			s.text = s.text[len(s.text)-len(after):]
			s.line++
		case c == '"':
			word, err = s.quoted()
			return word, true, err
		default:
			end := strings.IndexAny(s.text, " \t\r\n")
			if end < 0 {
				end = len(s.text)
			}
			word, s.text = s.text[:end], s.text[end:]
			return word, false, nil
		}
	}
	return "", false, nil
}

func (s *netrcScanner) quoted() (string, error) {
	var b strings.Builder
	for i := 1; i < len(s.text) && s.text[i] != '\n'; i++ {
		switch c := s.text[i]; {
		case c == '"':
			s.text = s.text[i+1:]
			return b.String(), nil
		case c == '\\' && i+1 < len(s.text):
			i++
			switch s.text[i] {
			case 'n':
				b.WriteByte('\n')
			case 'r':
				b.WriteByte('\r')
			case 't':
				b.WriteByte('\t')
			default:
				b.WriteByte(s.text[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", s.errorf("unterminated quote")
}

// skipMacro skips an ftp macro, which ends at an empty line.
func (s *netrcScanner) skipMacro() {
	_, s.text, _ = strings.Cut(s.text, "\n")
	s.line++
	for s.text != "" {
		line, rest, _ := strings.Cut(s.text, "\n")
		s.text = rest
		s.line++
		if strings.TrimRight(line, "\r") == "" {
			return
		}
	}
}
