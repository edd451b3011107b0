package startup

import (
	"slices"
	"strings"
	"testing"
)

func findAll(pieces ...string) (found []string) {
	f := nameFinder{prefix: "/nix/store/", found: func(base string) { found = append(found, base) }}
	for _, p := range pieces {
		_, _ = f.Write([]byte(p))
	}
	f.end()
	return found
}

// TestNameFinder checks that a nameFinder finds the same names however the text is split into writes.
func TestNameFinder(t *testing.T) {
	const digest = "0123456789abcdfghijklmnpqrsvwxyz"
	for _, test := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{"/nix/store/" + digest + "-x", []string{digest + "-x"}},
		{"a/nix/store/" + digest + "-x-1.0/bin/x:/nix/store/" + digest + "-y", []string{digest + "-x-1.0", digest + "-y"}},
		{"/nix/store/" + digest + "-", nil},
		{"/nix/store/" + digest + "/x", nil},
		{"/nix/store/" + strings.Repeat("e", 32) + "-x", nil},
		{"/nix/store/" + digest[1:] + "-x", nil},
		{"/nix/store//nix/store/" + digest + "-x", []string{digest + "-x"}},
		{"/nix/store/" + digest + "-" + strings.Repeat("x", 300), []string{digest + "-" + strings.Repeat("x", 211)}},
	} {
		if got := findAll(test.text); !slices.Equal(got, test.want) {
			t.Errorf("names in %q = %q; want %q", test.text, got, test.want)
		}
		for i := range test.text {
			if got := findAll(test.text[:i], test.text[i:]); !slices.Equal(got, test.want) {
				t.Errorf("names in %q, split at %d = %q; want %q", test.text, i, got, test.want)
			}
		}
		if got := findAll(strings.Split(test.text, "")...); !slices.Equal(got, test.want) {
			t.Errorf("names in %q, byte by byte = %q; want %q", test.text, got, test.want)
		}
	}
}
