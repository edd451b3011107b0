package plan

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
	"sync"

	"github.com/export-profile/export-profile/rootfs"
)

// Policy groups store objects into layers. People write it as a file and keep it in git:
//
//	# Objects that change together share a layer.
//	libc: glibc-* libgcc-* xgcc-*
//	python: python3-*
//	  python3.*-*
//	rest: *
//
// A line is a layer: its name, a colon, and patterns with spaces between them.
// A line that begins with a space continues the one before it,
// so that a pattern can have a line of its own. A # begins a comment.
//
// Patterns are those of [path.Match]. They match the name of a store path without its hash.
// A pattern that begins with a hash of 32 characters and a dash matches the whole base name.
// An object is in the layer of the first pattern that matches it. Objects that no pattern matches are planned
// as if there were no policy. The pattern * takes all of these, and must be the last one.
//
// The base files are always in the last layer, and so are the profiles, unless a pattern other than * matches them.
type Policy struct {
	Layers []PolicyLayer
}

// PolicyLayer is a line of a policy.
type PolicyLayer struct {
	Name  string
	Globs []PolicyGlob // at least one
}

// PolicyGlob is a pattern and its line in the file, from 1.
type PolicyGlob struct {
	Pattern string
	Line    int
}

// maxPolicy limits the bytes of a policy. A policy with a line for each path of a large closure has a tenth of that.
const maxPolicy = 16 << 20

var layerNamePattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.+-]*$`)
})

// ParsePolicy parses the file form. The error names all faulty lines at once.
func ParsePolicy(r io.Reader) (*Policy, error) {
	p := &Policy{}
	c := policyChecker{names: make(map[string]int), globs: make(map[string]int)}
	lines := bufio.NewScanner(io.LimitReader(r, maxPolicy+1))
	lines.Buffer(nil, maxPolicy)
	read := 0
	for line := 1; lines.Scan(); line++ {
		if read += len(lines.Bytes()) + 1; read > maxPolicy {
			return nil, fmt.Errorf("more than %d bytes", maxPolicy)
		}
		text, _, _ := strings.Cut(lines.Text(), "#")
		if strings.TrimSpace(text) == "" {
			continue
		}
		rest := text
		if first := text[0]; first != ' ' && first != '\t' {
			name, after, ok := strings.Cut(text, ":")
			if !ok || !c.name(name, line) {
				c.errorf(line, "want NAME: PATTERN…, with a name of letters, digits and _.+-, not %q", strings.TrimSpace(text))
				continue
			}
			p.Layers = append(p.Layers, PolicyLayer{Name: name})
			rest = after
		} else if len(p.Layers) == 0 {
			c.errorf(line, "a pattern before the first layer's name")
			continue
		}
		last := &p.Layers[len(p.Layers)-1]
		for _, pattern := range strings.Fields(rest) {
			c.glob(pattern, line)
			last.Globs = append(last.Globs, PolicyGlob{pattern, line})
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	for _, l := range p.Layers {
		if len(l.Globs) == 0 {
			c.errorf(c.names[l.Name], "layer %s has no pattern", l.Name)
		}
	}
	if err := errors.Join(c.errs...); err != nil {
		return nil, err
	}
	if len(p.Layers) == 0 {
		return nil, errors.New("it has no layer")
	}
	return p, nil
}

// policyChecker collects the errors of a policy.
type policyChecker struct {
	names map[string]int // lines of layer names
	globs map[string]int // lines of patterns
	rest  int            // line of the pattern *
	errs  []error
}

func (c *policyChecker) errorf(line int, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("line %d: %w", line, fmt.Errorf(format, args...)))
}

func (c *policyChecker) name(name string, line int) bool {
	if !layerNamePattern().MatchString(name) {
		return false
	}
	if before, ok := c.names[name]; ok {
		c.errorf(line, "layer %s is already in line %d", name, before)
	} else {
		c.names[name] = line
	}
	return true
}

func (c *policyChecker) glob(pattern string, line int) {
	before, twice := c.globs[pattern]
	_, err := path.Match(pattern, "")
	switch {
	case err != nil:
		c.errorf(line, "pattern %q: %w", pattern, err)
	case strings.Contains(pattern, "/"):
		c.errorf(line, "pattern %q: a name has no slash", pattern)
	case c.rest != 0:
		c.errorf(line, "pattern %q: the * in line %d takes everything, and must be the last", pattern, c.rest)
	case twice:
		c.errorf(line, "pattern %q is already in line %d", pattern, before)
	default:
		c.globs[pattern] = line
		if pattern == "*" {
			c.rest = line
		}
	}
}

// String returns the file form, without comments, with a line for each layer.
func (p *Policy) String() string {
	var b strings.Builder
	for _, l := range p.Layers {
		b.WriteString(l.Name + ":")
		for _, g := range l.Globs {
			b.WriteString(" " + g.Pattern)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// assign finds each part's layer in the policy, or noLine.
// A useless pattern is an error: it matches nothing, or only parts of earlier layers.
func (p *Policy) assign(parts []rootfs.Part, profiles []bool) ([]int, error) {
	fixed := make([]int, len(parts))
	for i := range fixed {
		fixed[i] = noLine
	}
	if p == nil {
		return fixed, nil
	}
	var errs []error
	for n, l := range p.Layers {
		for _, g := range l.Globs {
			matched, taken := 0, ""
			for i, part := range parts {
				if part.Root == "" || g.Pattern == "*" && profiles[i] || !g.matches(part.Name) {
					continue
				}
				if fixed[i] == noLine {
					fixed[i] = n
					matched++
				} else {
					taken = p.Layers[fixed[i]].Name
				}
			}
			switch {
			case matched > 0, g.Pattern == "*":
			case taken == "":
				errs = append(errs, fmt.Errorf("line %d of the layers file: pattern %q matches nothing", g.Line, g.Pattern))
			default:
				errs = append(errs, fmt.Errorf("line %d of the layers file: pattern %q matches only parts that layer %s already has", g.Line, g.Pattern, taken))
			}
		}
	}
	return fixed, errors.Join(errs...)
}

const hashLen = 32 // length of the hash in a store path's base name

func (g PolicyGlob) matches(base string) bool {
	name := base
	if hasHash(base) && !hasHash(g.Pattern) {
		name = base[hashLen+1:]
	}
	ok, _ := path.Match(g.Pattern, name) // ParsePolicy has checked the pattern
	return ok
}

// hasHash reports whether a base name or a pattern begins with a hash and a dash.
func hasHash(s string) bool {
	if len(s) <= hashLen || s[hashLen] != '-' {
		return false
	}
	for _, c := range []byte(s[:hashLen]) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z') {
			return false
		}
	}
	return true
}
