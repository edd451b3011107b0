package overlay

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// glob is a pattern of absolute paths, element by element.
type glob []string

// anything is the pattern element that matches any number of path elements.
const anything = "**"

func parseGlob(s string) (glob, error) {
	if !strings.HasPrefix(s, "/") {
		return nil, fmt.Errorf("%q does not begin with a slash", s)
	}
	var g glob
	for seg := range strings.SplitSeq(s[1:], "/") {
		switch {
		case seg == "", seg == ".", seg == "..":
			return nil, fmt.Errorf("%q has the element %q", s, seg)
		case seg != anything && strings.Contains(seg, anything):
			return nil, fmt.Errorf("%q: ** stands alone between slashes", s)
		}
		if _, err := path.Match(seg, ""); err != nil {
			return nil, fmt.Errorf("%q: bad pattern %q", s, seg)
		}
		if seg == anything && len(g) > 0 && g[len(g)-1] == anything {
			return nil, errors.New("**/** is the same as **")
		}
		g = append(g, seg)
	}
	return g, nil
}

// match reports whether the pattern matches a relative path, given as its elements.
// Backtracking to the most recent ** is enough: an earlier one never has to match more elements.
func (g glob) match(elems []string) bool {
	i, back, backAt := 0, -1, 0
	for at := 0; at < len(elems); {
		switch {
		case i < len(g) && g[i] == anything:
			if i == len(g)-1 {
				return true // at least one element is left
			}
			i, back, backAt = i+1, i, at
		case i < len(g) && matchElement(g[i], elems[at]):
			i, at = i+1, at+1
		case back >= 0:
			backAt++
			i, at = back+1, backAt
		default:
			return false
		}
	}
	return i == len(g)
}

// mayMatch reports whether the pattern can match the given path or a path below it.
func (g glob) mayMatch(elems []string) bool {
	for i, elem := range elems {
		switch {
		case i == len(g):
			return false
		case g[i] == anything:
			return true
		case !matchElement(g[i], elem):
			return false
		}
	}
	return true
}

func matchElement(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
