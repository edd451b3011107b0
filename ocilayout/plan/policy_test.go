package plan

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestParsePolicy(t *testing.T) {
	const text = `# Objects that change together share a layer.

libc: glibc-* libgcc-[0-9]* # of the same release
python:
  python3-*
	python3.1?-*
one-path: 0123456789abcdfghijklmnpqrsvwxyz-curl-8.1
rest: *
`
	p, err := ParsePolicy(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := &Policy{[]PolicyLayer{
		{"libc", []PolicyGlob{{"glibc-*", 3}, {"libgcc-[0-9]*", 3}}},
		{"python", []PolicyGlob{{"python3-*", 5}, {"python3.1?-*", 6}}},
		{"one-path", []PolicyGlob{{"0123456789abcdfghijklmnpqrsvwxyz-curl-8.1", 7}}},
		{"rest", []PolicyGlob{{"*", 8}}},
	}}
	if d := cmp.Diff(want, p); d != "" {
		t.Errorf("ParsePolicy (-want +got):\n%s", d)
	}
	const canonical = `libc: glibc-* libgcc-[0-9]*
python: python3-* python3.1?-*
one-path: 0123456789abcdfghijklmnpqrsvwxyz-curl-8.1
rest: *
`
	if p.String() != canonical {
		t.Errorf("String() = %q, want %q", p.String(), canonical)
	}
	if _, err := ParsePolicy(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n"))); err != nil {
		t.Errorf("ParsePolicy with CRLF: %v", err)
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", "it has no layer"},
		{"# nothing\n\n", "it has no layer"},
		{"a: x\na: y", "line 2: layer a is already in line 1"},
		{"a: x\nb: y x", `line 2: pattern "x" is already in line 1`},
		{"a:\nb: y", "line 1: layer a has no pattern"},
		{" x\na: y", "line 1: a pattern before the first layer's name"},
		{"x-*", `line 1: want NAME: PATTERN…, with a name of letters, digits and _.+-, not "x-*"`},
		{"a b: x", `line 1: want NAME: PATTERN…, with a name of letters, digits and _.+-, not "a b: x"`},
		{": x", `line 1: want NAME: PATTERN…, with a name of letters, digits and _.+-, not ": x"`},
		{"a: [x", `line 1: pattern "[x": syntax error in pattern`},
		{"a: /nix/store/x", `line 1: pattern "/nix/store/x": a name has no slash`},
		{"a: *\nb: y", "line 2: pattern \"y\": the * in line 1 takes everything, and must be the last"},
		{"a: x\n!\nb: [", "line 2: want NAME: PATTERN…, with a name of letters, digits and _.+-, not \"!\"\n" +
			"line 3: pattern \"[\": syntax error in pattern"},
	} {
		if p, err := ParsePolicy(strings.NewReader(test.text)); err == nil || err.Error() != test.want {
			t.Errorf("ParsePolicy(%q) = %v, %v; want %s", test.text, p, err, test.want)
		}
	}
	broken := errors.New("broken")
	if _, err := ParsePolicy(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("ParsePolicy of a failing reader: %v; want %v", err, broken)
	}
	if _, err := ParsePolicy(zeroReader{}); err == nil {
		t.Error("ParsePolicy of endless zeros: <nil>; want an error")
	}
}

func TestPolicyGlob(t *testing.T) {
	const hash = "0123456789abcdfghijklmnpqrsvwxyz"
	for _, test := range []struct {
		pattern, base string
		want          bool
	}{
		{"curl-*", hash + "-curl-8.1", true},
		{"curl", hash + "-curl-8.1", false},
		{"0*", hash + "-curl-8.1", false}, // the hash is not the name
		{"*curl*", hash + "-libcurl", true},
		{hash + "-curl-*", hash + "-curl-8.1", true},
		{hash + "-curl", hash + "-curl-8.1", false},
		{"curl-8.?", hash + "-curl-8.1", true},
		{"*", hash + "-curl-8.1", true},
		{"short", "short", true},
	} {
		if got := (PolicyGlob{test.pattern, 1}).matches(test.base); got != test.want {
			t.Errorf("matches of %q and %q = %v; want %v", test.pattern, test.base, got, test.want)
		}
	}
}

// FuzzParsePolicy checks that String returns what parses to the same policy.
func FuzzParsePolicy(f *testing.F) {
	f.Add("a: x-* y-?\n  [a-z]*\nb: *\n")
	files, _ := filepath.Glob("testdata/new/policy*.txtar")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePolicy(strings.NewReader(text))
		if err != nil {
			return
		}
		again, err := ParsePolicy(strings.NewReader(p.String()))
		if err != nil || again.String() != p.String() {
			t.Errorf("ParsePolicy(%q) = %v, %v; want the same policy", p.String(), again, err)
		}
	})
}

// zeroReader reads zeros without end.
type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { return len(p), nil }
