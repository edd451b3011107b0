package base

import (
	"path"
	"strings"
	"unicode/utf8"
)

// searchPath is a variable that etc/profile in a profile of Guix sets, with paths of the profile.
type searchPath struct {
	name      string
	separator string // "" if the variable has one path
	paths     []string
}

// parseSearchPaths parses etc/profile of the profile at a path. Guix writes it as shell code, a line for each variable:
//
//	export NAME="${GUIX_PROFILE:-PROFILE}/lib:${GUIX_PROFILE:-PROFILE}/share${NAME:+:}$NAME"
//	export NAME="${GUIX_PROFILE:-PROFILE}/etc/file"
//
// It returns the names of variables that are set in other ways. Other lines have no meaning here.
func parseSearchPaths(content, profile string) (paths []searchPath, strange []string) {
	for line := range strings.Lines(content) {
		line, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "export ")
		name, value, _ := strings.Cut(line, "=")
		if !ok || !isVariable(name) {
			continue
		}
		if p, ok := parseSearchPath(name, value, profile); ok {
			paths = append(paths, p)
		} else {
			strange = append(strange, name)
		}
	}
	return paths, strange
}

func parseSearchPath(name, value, profile string) (p searchPath, ok bool) {
	p.name = name
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return p, false
	}
	value = value[1 : len(value)-1]
	// Each path follows what is in front of its profile, so that a separator may be any character.
	items := strings.Split(value, "${GUIX_PROFILE:-"+profile+"}")
	if items[0] != "" || len(items) == 1 {
		return p, false
	}
	items = items[1:]
	last := &items[len(items)-1]
	if before, rest, found := strings.Cut(*last, "${"+name+":+"); found {
		separator, end, _ := strings.Cut(rest, "}")
		if separator == "" || end != "$"+name {
			return p, false
		}
		*last, p.separator = before, separator
	} else if len(items) > 1 {
		return p, false
	}
	for i, item := range items {
		if i < len(items)-1 {
			if item, ok = strings.CutSuffix(item, p.separator); !ok {
				return p, false
			}
		}
		if item != "" && path.Clean("/"+item) != item || !isPlain(item) || p.separator != "" && strings.Contains(item, p.separator) {
			return p, false
		}
		p.paths = append(p.paths, profile+item)
	}
	return p, isPlain(p.separator)
}

// isVariable reports whether a word can be the name of a variable.
func isVariable(name string) bool {
	for i, c := range []byte(name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || i > 0 && '0' <= c && c <= '9') {
			return false
		}
	}
	return name != ""
}

// isPlain reports whether a text within double quotes means itself in shell code.
func isPlain(s string) bool {
	if !utf8.ValidString(s) { // no image config can have it
		return false
	}
	for _, c := range []byte(s) {
		if c < ' ' || c == 0x7f || strings.IndexByte("$`\"\\", c) >= 0 {
			return false
		}
	}
	return true
}
