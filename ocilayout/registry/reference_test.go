package registry

import (
	"strings"
	"testing"
)

const someDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

var references = []struct{ in, want string }{
	{"hello", "docker.io/library/hello:latest"},
	{"hello:v1", "docker.io/library/hello:v1"},
	{"team/hello", "docker.io/team/hello:latest"},
	{"localhost:5000/x", "localhost:5000/x:latest"},
	{"localhost/x:_y", "localhost/x:_y"},
	{"127.0.0.1:5000/a/b/c:v1", "127.0.0.1:5000/a/b/c:v1"},
	{"[::1]:5000/a:v1", "[::1]:5000/a:v1"},
	{"registry.example.com/team/hello@" + someDigest, "registry.example.com/team/hello@" + someDigest},
	{"registry.example.com/team/hello:v1@" + someDigest, "registry.example.com/team/hello@" + someDigest},
	{"docker.io/library/a.b:v1", "docker.io/library/a.b:v1"},
	{"localhost", ""},
	{"localhost:5000", ""},
	{"registry.example.com", ""},
	{"registry.example.com:5000", ""},
	{"127.0.0.1:5000", ""},
	{"", ""},
	{"/x", ""},
	{"Hello", ""},
	{"x:", ""},
	{"x:-", ""},
	{"registry.example.com/", ""},
	{"https://registry.example.com/x", ""},
	{"x@sha256:12", ""},
	{"x@sha512:" + strings.Repeat("0", 128), ""},
}

func TestParseReference(t *testing.T) {
	for _, tt := range references {
		r, err := ParseReference(tt.in)
		if got := r.String(); (err == nil) != (tt.want != "") || err == nil && got != tt.want {
			t.Errorf("ParseReference(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, tt := range references {
		f.Add(tt.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseReference(s)
		if err != nil {
			return
		}
		if again, err := ParseReference(r.String()); err != nil || again.String() != r.String() {
			t.Errorf("ParseReference(%q) = %v, which parses to %v, %v", s, r, again, err)
		}
	})
}
