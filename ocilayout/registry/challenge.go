package registry

import (
	"net/http"
	"strings"
)

// challenger is a transport that leaves one challenge in an answer with status 401: the first that can be met, Basic or Bearer.
// Behind it, only the first challenge is looked at, and only in one form.
type challenger struct{ next http.RoundTripper }

func (c *challenger) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.next.RoundTrip(r)
	if err != nil || answer.StatusCode != http.StatusUnauthorized {
		return answer, err
	}
	if known := knownChallenge(answer.Header.Values("Www-Authenticate")); known != "" {
		answer.Header.Set("Www-Authenticate", known)
	}
	return answer, nil
}

// knownChallenge returns the first challenge that can be met, written plainly, or "".
func knownChallenge(headers []string) string {
	for _, h := range headers {
		for _, c := range parseChallenges(h) {
			switch c.scheme {
			case "basic":
				return "Basic"
			case "bearer":
				if c.params["realm"] == "" {
					continue
				}
				words := make([]string, 0, 3)
				for _, name := range []string{"realm", "service", "scope"} {
					if v, ok := c.params[name]; ok {
						words = append(words, name+`="`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v)+`"`)
					}
				}
				return "Bearer " + strings.Join(words, ",")
			}
		}
	}
	return ""
}

// challenge is one challenge of a WWW-Authenticate header. Its scheme and the names of its parameters are in lower case.
type challenge struct {
	scheme string
	params map[string]string
}

// parseChallenges parses a WWW-Authenticate header, which may have several challenges (RFC 9110, section 11.6.1).
// It also takes parameters that are not separated by commas, and values without the quotes that they need.
func parseChallenges(header string) (all []challenge) {
	s := header
	for {
		s = strings.TrimLeft(s, " \t,")
		word, rest := cutToken(s)
		if word == "" {
			return all
		}
		s = strings.TrimLeft(rest, " \t")
		value, isParam := strings.CutPrefix(s, "=")
		if !isParam {
			all = append(all, challenge{strings.ToLower(word), make(map[string]string)})
			s = skipToken68(s)
			continue
		}
		value, s = cutValue(strings.TrimLeft(value, " \t"))
		if len(all) > 0 {
			params := all[len(all)-1].params
			if name := strings.ToLower(word); params[name] == "" {
				params[name] = value
			}
		}
	}
}

// cutToken cuts a token (RFC 9110, section 5.6.2) off s.
func cutToken(s string) (token, rest string) {
	n := strings.IndexFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
	if n < 0 {
		n = len(s)
	}
	return s[:n], s[n:]
}

// skipToken68 drops the token that some schemes have instead of parameters, such as Negotiate.
func skipToken68(s string) string {
	n := strings.IndexAny(s, " \t,")
	if n < 0 {
		n = len(s)
	}
	word := strings.TrimRight(s[:n], "=")
	next := strings.TrimLeft(s[n:], " \t")
	switch {
	case strings.ContainsAny(word, `="`), strings.HasPrefix(next, "="): // a parameter
		return s
	case word == s[:n] && next != "" && next[0] != ',': // a scheme
		return s
	case word == s[:n] && !strings.ContainsAny(word, "/+") && next == "": // a scheme at the end
		return s
	}
	return s[n:]
}

// cutValue cuts the value of a parameter off s.
func cutValue(s string) (value, rest string) {
	quoted, ok := strings.CutPrefix(s, `"`)
	if !ok {
		n := strings.IndexAny(s, " \t,")
		if n < 0 {
			n = len(s)
		}
		return s[:n], s[n:]
	}
	var b strings.Builder
	for i := 0; i < len(quoted); i++ {
		switch quoted[i] {
		case '"':
			return b.String(), quoted[i+1:]
		case '\\':
			if i++; i == len(quoted) {
				return b.String(), ""
			}
		}
		b.WriteByte(quoted[i])
	}
	return b.String(), ""
}
