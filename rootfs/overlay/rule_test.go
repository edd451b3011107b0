package overlay

import (
	"strings"
	"testing"
)

var ruleTests = []struct{ word, in, want, err string }{
	{"owner", "/a=1", "/a=1:1", ""},
	{"owner", "/a/**=1:2", "/a/**=1:2", ""},
	{"owner", "/a=b=1:2", "/a=b=1:2", ""},
	{"owner", "/a", "", "no ="},
	{"owner", "/a=", "", "is not a number"},
	{"owner", "/a=x", "", "is not a number"},
	{"owner", "/a=1:2:3", "", "is not UID[:GID]"},
	{"owner", "a=1", "", "does not begin with a slash"},
	{"owner", "/=1", "", `has the element ""`},
	{"owner", "/a/=1", "", `has the element ""`},
	{"owner", "/a/../b=1", "", `has the element ".."`},
	{"owner", "/a**=1", "", "** stands alone"},
	{"owner", "/**/**=1", "", "is the same as **"},
	{"owner", "/[a=1", "", "bad pattern"},
	{"mode", "/a=640", "/a=0640", ""},
	{"mode", "/a=1777", "/a=1777", ""},
	{"mode", "/a=9", "", "not octal"},
	{"mode", "/a=4755", "", "only for added files"},
	{"mode", "/a=2755", "", "only for added files"},
}

func parseRuleWord(word, s string) (Rule, error) {
	if word == "owner" {
		return ParseOwner(s)
	}
	return ParseMode(s)
}

func TestParseRule(t *testing.T) {
	for _, test := range ruleTests {
		got, err := parseRuleWord(test.word, test.in)
		if test.err == "" && (err != nil || got.String() != test.want) {
			t.Errorf("%s %q = %q, %v; want %q, <nil>", test.word, test.in, got, err, test.want)
		}
		if test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), ", as in ")) {
			t.Errorf("%s %q = %q, %v; want an error with %q and an example", test.word, test.in, got, err, test.err)
		}
	}
}

// FuzzParseRule checks that String returns what parses to the same rule.
func FuzzParseRule(f *testing.F) {
	for _, test := range ruleTests {
		f.Add(test.word == "owner", test.in)
	}
	f.Fuzz(func(t *testing.T, owner bool, s string) {
		word := "mode"
		if owner {
			word = "owner"
		}
		r, err := parseRuleWord(word, s)
		if err != nil {
			return
		}
		if again, err := parseRuleWord(word, r.String()); err != nil || again.String() != r.String() {
			t.Errorf("%s %q: parsing String() = %q gives %q, %v", word, s, r, again, err)
		}
	})
}

var globTests = []struct {
	glob, path string
	match, may bool // wanted from match and mayMatch
}{
	{"/a", "a", true, true},
	{"/a", "a/b", false, false},
	{"/a", "b", false, false},
	{"/*", "a", true, true},
	{"/*", "a/b", false, false},
	{"/a/*", "a", false, true},
	{"/a/*", "a/b", true, true},
	{"/a/*", "a/b/c", false, false},
	{"/a/**", "a", false, true},
	{"/a/**", "a/b", true, true},
	{"/a/**", "a/b/c/d", true, true},
	{"/a/**", "b/a", false, false},
	{"/**", "a/b/c", true, true},
	{"/**/c", "c", true, true},
	{"/**/c", "a/b/c", true, true},
	{"/**/c", "a/c/b", false, true},
	{"/a/**/c", "a/c", true, true},
	{"/a/**/c", "a/c/b/c", true, true},
	{"/**/b/**/d", "a/b/c/b/d", true, true},
	{"/**/b/*/d", "b/b/c/d", true, true},
	{"/nix/store/*-hello*/bin/*", "nix/store/xyz-hello-1", false, true},
	{"/nix/store/*-hello*/bin/*", "nix/store/xyz-hello-1/bin/hello", true, true},
	{"/nix/store/*-hello*/bin/*", "nix/store/xyz-other", false, false},
	{"/etc/[a-c]?", "etc/ax", true, true},
	{"/etc/[a-c]?", "etc/dx", false, false},
	{"/*", "\xff", true, true},
}

func TestGlob(t *testing.T) {
	for _, test := range globTests {
		g, err := parseGlob(test.glob)
		if err != nil {
			t.Fatal(err)
		}
		elems := strings.Split(test.path, "/")
		if got := g.match(elems); got != test.match {
			t.Errorf("match of %q and %q = %v; want %v", test.glob, test.path, got, test.match)
		}
		if got := g.mayMatch(elems); got != test.may {
			t.Errorf("mayMatch of %q and %q = %v; want %v", test.glob, test.path, got, test.may)
		}
	}
}

// matchByTrying reports the same as glob.match, but tries everything.
func matchByTrying(g glob, elems []string) bool {
	switch {
	case len(g) == 0:
		return len(elems) == 0
	case g[0] == anything && len(g) == 1:
		return len(elems) > 0
	case g[0] == anything:
		for i := range len(elems) + 1 {
			if matchByTrying(g[1:], elems[i:]) {
				return true
			}
		}
		return false
	}
	return len(elems) > 0 && matchElement(g[0], elems[0]) && matchByTrying(g[1:], elems[1:])
}

// FuzzGlob compares match with matchByTrying, and checks that mayMatch is true above every match.
func FuzzGlob(f *testing.F) {
	for _, test := range globTests {
		f.Add(test.glob, test.path)
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		g, err := parseGlob(pattern)
		elems := strings.Split(path, "/")
		if err != nil || len(g) > 8 || len(elems) > 12 {
			return
		}
		got, want := g.match(elems), matchByTrying(g, elems)
		if got != want {
			t.Errorf("match of %q and %q = %v; want %v", pattern, path, got, want)
		}
		for i := range elems {
			if want && !g.mayMatch(elems[:i]) {
				t.Errorf("%q matches %q, but mayMatch(%q) = false", pattern, path, elems[:i])
			}
		}
	})
}
