package binarycache

import (
	"fmt"
	"os"
	"strings"
)

// login is what a server wants to hear of who asks.
type login struct{ user, password string }

// readNetrc finds what a netrc file says of a host: the first entry that names it, or the default one.
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

// parseNetrc knows the words machine, default, login, password, account and macdef,
// comments from a word that begins with # to the end of its line, and words in double quotes, as curl does.
// Its errors name lines, never words: what is out of place may be a password.
func parseNetrc(text, host string) (*login, error) {
	s := netrcScanner{text: text, line: 1}
	var found *login
	var entry *login // that of host, while it is read
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
			return nil, s.errorf("a word that is not known")
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

// value is the next word, which must be there.
func (s *netrcScanner) value() (string, error) {
	line := s.line
	word, quoted, err := s.scan(false)
	if err == nil && word == "" && !quoted {
		s.line = line
		err = s.errorf("ends where a value is due")
	}
	return word, err
}

// next is the next word that is no value, or "" at the end.
func (s *netrcScanner) next() (string, error) {
	word, quoted, err := s.scan(true)
	if err == nil && quoted {
		err = s.errorf("a value where a word is due")
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
	return "", s.errorf("a quoted word that does not end")
}

// skipMacro passes over a macro of ftp's, which ends with an empty line.
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
