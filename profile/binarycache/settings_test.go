package binarycache

import (
	"net/http"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/storetest"
)

var settings = []struct{ query, err string }{
	{"", ""},
	{"priority=10", ""},
	{"trusted=true&want-mass-query=true&priority=30", ""},
	{"compression=zstd&compression-level=3&parallel-compression=true&secret-key=/k", ""},
	{"store=/nix/store", ""},
	{"store=/gnu/store", ""},
	{"store=gnu", `store directory "gnu": want an absolute path`},
	{"store=/gnu/store&store=/nix/store", "two store directories: /gnu/store and /nix/store"},
	{"priority=10&token=secret", `setting "token" in its URL is not supported`},
	{"Priority=10", `setting "Priority" in its URL`},
	{"priority=%zz", "settings in its URL are not valid"},
}

func TestParseSettings(t *testing.T) {
	for _, test := range settings {
		if _, err := ParseSettings(test.query); (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("ParseSettings(%q): %v; want an error with %q, and without values", test.query, err, test.err)
		}
	}
}

// FuzzParseSettings checks that no query is accepted that has more than the known settings.
func FuzzParseSettings(f *testing.F) {
	for _, test := range settings {
		f.Add(test.query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		_, err := ParseSettings(query)
		if _, more := ParseSettings(query + "&unknown=1"); err == nil && more == nil {
			t.Errorf("ParseSettings(%q) accepts another setting", query)
		}
	})
}

// TestURLSettings checks that the settings of nix.conf may follow the URL of a server, and that schemes and hosts have no case.
func TestURLSettings(t *testing.T) {
	sample := storetest.Tiny(t)
	for _, change := range []func(string) string{
		func(url string) string { return url + "?priority=10" },
		func(url string) string { return url + "/?trusted=true&want-mass-query=true" },
		func(url string) string { return url + "?" },
		func(url string) string { return strings.Replace(url, "http:", "HTTP:", 1) },
		func(url string) string { return strings.Replace(url, "http://127.0.0.1", "Http://LOCALHOST", 1) },
	} {
		location := change(serve(t, http.FileServer(http.Dir(sample.WriteCache(t, "none")))))
		s, err := Open(t.Context(), location, Options{})
		if err != nil {
			t.Errorf("Open(%q): %v", location, err)
			continue
		}
		defer s.Close()
		if _, err := profile.FindClosure(t.Context(), s, sample.Root); err != nil {
			t.Errorf("FindClosure in %q: %v", location, err)
		}
	}
}
