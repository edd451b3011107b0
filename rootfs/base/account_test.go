package base

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var accountTests = []struct {
	in   string
	want Account
	err  string // part of the error
}{
	{"nginx:101", Account{User{Name: "nginx", UID: 101, GID: 101}, "/home/nginx", "/bin/sh"}, ""},
	{"nginx:101:102", Account{User{Name: "nginx", UID: 101, GID: 102}, "/home/nginx", "/bin/sh"}, ""},
	{"nginx:101:/var/lib/nginx", Account{User{Name: "nginx", UID: 101, GID: 101}, "/var/lib/nginx", "/bin/sh"}, ""},
	{"nginx:101:102:/:/bin/false", Account{User{Name: "nginx", UID: 101, GID: 102}, "/", "/bin/false"}, ""},
	{"nginx", Account{}, "has no number"},
	{"", Account{}, "has no number"},
	{":1", Account{}, "1 to 32 characters"},
	{"a b:1", Account{}, "illegal character"},
	{"a:x", Account{}, `"x" is not a number`},
	{"a:-1", Account{}, `"-1" is not a number`},
	{"a:4294967295", Account{}, "is not a number"},
	{"a:1:2:3", Account{}, "not an absolute path"},
	{"a:1:2:/h:sh", Account{}, "not an absolute path"},
	{"a:1:2:/h:/s:x", Account{}, "too many fields"},
	{"a:1:/h/../x", Account{}, "not allowed"},
	{"a:1:/h\n", Account{}, "control character"},
	{"a:1:/nix/store/x", Account{}, "cannot be in the store"},
	{"root:1", Account{}, "every image has root as 0:0"},
	{"nobody:65534", Account{}, "every image has nobody"},
}

func TestParseAccount(t *testing.T) {
	for _, test := range accountTests {
		got, err := ParseAccount(test.in)
		if test.err == "" && (err != nil || got != test.want) {
			t.Errorf("ParseAccount(%q) = %+v, %v; want %+v, <nil>", test.in, got, err, test.want)
		}
		if test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), "as in nginx:101")) {
			t.Errorf("ParseAccount(%q) = %+v, %v; want an error with %q and an example", test.in, got, err, test.err)
		}
	}
}

var groupTests = []struct {
	in   string
	want Group
	err  string
}{
	{"www:33", Group{Name: "www", GID: 33}, ""},
	{"www:33:a,b", Group{"www", 33, []string{"a", "b"}}, ""},
	{"www", Group{}, "has 1 fields"},
	{"www:33:a:b", Group{}, "has 4 fields"},
	{"www:x", Group{}, "is not a number"},
	{"www:33:", Group{}, "1 to 32 characters"},
	{"www:33:a,a", Group{}, "twice"},
	{"www:33:a,", Group{}, "1 to 32 characters"},
	{"w/w:33", Group{}, "illegal character"},
	{"root:0", Group{}, "every image has root"},
}

func TestParseGroup(t *testing.T) {
	for _, test := range groupTests {
		got, err := ParseGroup(test.in)
		if d := cmp.Diff(test.want, got); test.err == "" && (err != nil || d != "") {
			t.Errorf("ParseGroup(%q) = %+v, %v; want %+v, <nil>", test.in, got, err, test.want)
		}
		if test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("ParseGroup(%q) = %+v, %v; want an error with %q", test.in, got, err, test.err)
		}
	}
}

// FuzzParseAccount checks that each account makes a line of /etc/passwd with seven fields.
func FuzzParseAccount(f *testing.F) {
	for _, test := range accountTests {
		f.Add(test.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAccount(s)
		if err != nil {
			return
		}
		line := strings.Join([]string{a.Name, "x", a.ID(), a.Name, a.Home, a.Shell}, ":")
		if strings.Count(line, ":") != 6 || strings.ContainsAny(line, "\n\r\x00") {
			t.Errorf("ParseAccount(%q) makes the line %q", s, line)
		}
	})
}

// FuzzParseGroup checks that each group makes a line of /etc/group with four fields.
func FuzzParseGroup(f *testing.F) {
	for _, test := range groupTests {
		f.Add(test.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		g, err := ParseGroup(s)
		if err != nil {
			return
		}
		line := g.Name + ":x::" + strings.Join(g.Members, ",")
		if strings.Count(line, ":") != 3 || strings.ContainsAny(line, "\n\r\x00 ") {
			t.Errorf("ParseGroup(%q) makes the line %q", s, line)
		}
	})
}
