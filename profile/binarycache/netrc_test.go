package binarycache

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestParseNetrc checks what parseNetrc understands, and that no error quotes a word of the file.
func TestParseNetrc(t *testing.T) {
	me := &login{"me", "secret"}
	for _, test := range []struct {
		name, in string
		want     *login
		err      string
	}{
		{"nothing", "", nil, ""},
		{"one line", "machine example.org login me password secret", me, ""},
		{"lines", "\n\nmachine example.org\n\tlogin me\r\n\tpassword secret\n", me, ""},
		{"another host", "machine example.com login me password secret", nil, ""},
		{"case", "machine Example.ORG login me password secret", me, ""},
		{"default", "machine example.com login a password b\ndefault login me password secret", me, ""},
		{"the first counts", "machine example.org login me password secret\nmachine example.org login a password b\ndefault login c", me, ""},
		{"an account", "machine example.org account x login me account y password secret", me, ""},
		{"comments", "# machine example.org login a\nmachine example.org # here\nlogin me password secret #x", me, ""},
		{"a password with a hash", "machine example.org login me password #secret", &login{"me", "#secret"}, ""},
		{"a password that is a word", "machine example.org login me password machine", &login{"me", "machine"}, ""},
		{"quotes", `machine example.org login "me" password "se \"c\\r\net"`, &login{"me", "se \"c\\r\net"}, ""},
		{"an empty password", `machine example.org login me password ""`, &login{"me", ""}, ""},
		{"a macro", "macdef init\ncd /x\nmachine example.org login a password b\n\nmachine example.org login me password secret", me, ""},
		{"a macro at the end", "machine example.org login me password secret\nmacdef x\nput y", me, ""},

		{"no value", "machine example.org\nlogin me\npassword\n", nil, "line 3: missing value at the end"},
		{"a stray word", "machine example.org login me password my secret", nil, "line 1: unknown word"},
		{"a quoted word", "\n\"machine\" example.org", nil, "line 2: quoted value in place of a word"},
		{"no machine", "login me password secret", nil, "line 1: login before any machine"},
		{"an open quote", "machine example.org password \"secret\n", nil, "line 1: unterminated quote"},
	} {
		got, err := parseNetrc(test.in, "example.org")
		if test.err != "" {
			if err == nil || err.Error() != test.err || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: parseNetrc = %v, %v; want %s", test.name, got, err, test.err)
			}
			continue
		}
		if d := cmp.Diff(test.want, got, cmp.AllowUnexported(login{})); d != "" || err != nil {
			t.Errorf("%s: parseNetrc (-want +got):\n%s, %v", test.name, d, err)
		}
	}
}

func FuzzParseNetrc(f *testing.F) {
	f.Add("machine example.org login me password \"x\\\"\" # y\nmacdef z\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := parseNetrc(s, "example.org"); got != nil && err != nil {
			t.Errorf("parseNetrc(%q) = %v and %v", s, got, err)
		}
	})
}
