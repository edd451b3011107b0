package registry

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// challenges has the challenge that is met of each header. Headers are separated by line feeds.
var challenges = []struct{ headers, want string }{
	{"", ""},
	{"Basic", "Basic"},
	{`Basic realm="x"`, "Basic"},
	{"basic realm=x", "Basic"},
	{"Negotiate\nBasic realm=\"x\"", "Basic"},
	{`Negotiate, Basic realm="x"`, "Basic"},
	{`Negotiate YIIB/gYGKwYBBQUCoII=, Basic realm="x"`, "Basic"},
	{`Negotiate YIIBgYG, Basic realm="x"`, "Basic"},
	{`Negotiate Basic realm="x"`, "Basic"},
	{`Digest realm="Basic", nonce="a, Bearer realm=\"y\""`, ""},
	{`NTLM`, ""},
	{`Bearer`, ""},
	{`Bearer service="x"`, ""},
	{`Bearer realm="https://x/token"`, `Bearer realm="https://x/token"`},
	{`Bearer realm="https://x/token",service="a, b",scope="repository:a:pull,push repository:b:pull"`,
		`Bearer realm="https://x/token",service="a, b",scope="repository:a:pull,push repository:b:pull"`},
	{`BEARER SCOPE="s",Service="a\"\\b" , Realm = "https://x/"`, `Bearer realm="https://x/",service="a\"\\b",scope="s"`},
	{`Bearer realm="https://x/",realm="https://evil.example.com/"`, `Bearer realm="https://x/"`},
	{`Bearer realm="https://x/", Basic realm="y"`, `Bearer realm="https://x/"`},
	{`Bearer error="insufficient_scope", Basic realm="y"`, "Basic"},
	{`Bearer realm="https://x/`, `Bearer realm="https://x/"`},
	{`Bearer realm="https://x/\`, `Bearer realm="https://x/"`},
	{`Bearer realm=https://x/?a=b, service=c`, `Bearer realm="https://x/?a=b",service="c"`},
	{`,,, Basic`, "Basic"},
	{`=,"`, ""},
}

func TestKnownChallenge(t *testing.T) {
	for _, tt := range challenges {
		if got := knownChallenge(strings.Split(tt.headers, "\n")); got != tt.want {
			t.Errorf("knownChallenge(%q) = %q; want %q", tt.headers, got, tt.want)
		}
	}
}

// FuzzKnownChallenge checks that a known challenge stays the same when it is read again.
func FuzzKnownChallenge(f *testing.F) {
	for _, tt := range challenges {
		f.Add(tt.headers)
	}
	f.Fuzz(func(t *testing.T, header string) {
		one := knownChallenge([]string{header})
		if again := knownChallenge([]string{one}); again != one {
			t.Errorf("knownChallenge(%q) = %q, and of that %q", header, one, again)
		}
	})
}

// TestUploadURL checks where blobs are sent for each Location.
func TestUploadURL(t *testing.T) {
	for _, tt := range []struct{ root, location, want string }{
		{"https://r.io", "/v2/x/uploads/1", "https://r.io/v2/x/uploads/1"},
		{"https://r.io", "1?a=b", "https://r.io/v2/x/blobs/uploads/1?a=b"},
		{"https://r.io", "//r.io/1", "https://r.io/1"},
		{"https://r.io", "https://R.io:443/1", "https://R.io:443/1"},
		{"https://r.io:443", "https://r.io/1", "https://r.io:443/1"},
		{"https://r.io", "http://r.io/1", "https://r.io/1"}, // behind a proxy that adds TLS
		{"https://r.io", "http://r.io:80/1", "https://r.io/1"},
		{"https://r.io:5000", "http://r.io:5000/1", "https://r.io:5000/1"},
		{"https://r.io:5000", "http://r.io/1", "https://r.io:5000/1"},
		{"http://localhost:5000", "https://localhost:5000/1", "https://localhost:5000/1"},
		{"https://r.io", "http://r.io:8080/1", ""},
		{"https://r.io", "https://r.io:8080/1", ""},
		{"https://r.io", "https://evil.io/1", ""},
		{"https://r.io", "http://evil.io/1", ""},
		{"https://r.io", "https://r.io.evil.io/1", ""},
		{"https://r.io", "https://r.io@evil.io/1", ""},
		{"https://r.io", "https://a:b@r.io/1#x", "https://r.io/1"},
		{"https://r.io", "//evil.io/1", ""},
		{"https://r.io", `\\evil.io\1`, "https://r.io/v2/x/blobs/uploads/%5C%5Cevil.io%5C1"},
		{"http://localhost:5000", "http://localhost:6000/1", ""},
		{"http://localhost:5000", "ftp://localhost:5000/1", ""},
		{"https://r.io", "http://[", ""},
		{"https://r.io", "", ""},
	} {
		from, err := url.Parse(tt.root + "/v2/x/blobs/uploads/")
		if err != nil {
			t.Fatal(err)
		}
		got, err := uploadURL(&http.Response{Header: http.Header{"Location": {tt.location}}, Request: &http.Request{URL: from}}, tt.root)
		if (err == nil) != (tt.want != "") || err == nil && got.String() != tt.want {
			t.Errorf("uploadURL(%q, %q) = %v, %v; want %q", tt.root, tt.location, got, err, tt.want)
		}
	}
}
