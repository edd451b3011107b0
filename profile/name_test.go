package profile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplitName(t *testing.T) {
	for _, tt := range []struct{ name, pname, version string }{
		{"curl-8.4.0", "curl", "8.4.0"},
		{"curl-8.4.0-bin", "curl", "8.4.0-bin"},
		{"python3-3.11.2", "python3", "3.11.2"},
		{"user-environment", "user-environment", ""},
		{"env-manifest.nix", "env-manifest.nix", ""},
		{"a-b-c", "a-b-c", ""},
		{"a-1", "a", "1"},
		{"a--1", "a", "-1"},
		{"a-", "a-", ""},
		{"-1", "", "1"},
		{"", "", ""},
	} {
		if pname, version := SplitName(tt.name); pname != tt.pname || version != tt.version {
			t.Errorf("SplitName(%q) = %q, %q; want %q, %q", tt.name, pname, version, tt.pname, tt.version)
		}
	}
}

func TestFind(t *testing.T) {
	info := func(base string) *Info { return &Info{Path: Path(nixStore + "/" + base)} }
	a := info(strings.Repeat("a", 32) + "-zstd-1.5.5")
	b := info(strings.Repeat("b", 32) + "-zstd-1.5.5-bin")
	c := info(strings.Repeat("c", 32) + "-zstd")
	for _, tt := range []struct {
		all  []*Info
		word string
		want []*Info
	}{
		{[]*Info{a, b}, "zstd", []*Info{a, b}},
		{[]*Info{a, b, c}, "zstd", []*Info{c}},
		{[]*Info{a, b}, "zstd-1.5.5", []*Info{a}},
		{[]*Info{a, b}, string(b.Path), []*Info{b}},
		{[]*Info{a, b}, b.Path.Base(), []*Info{b}},
		{[]*Info{a, b}, b.Path.Digest(), []*Info{b}},
		{[]*Info{a, b}, "zst", nil},
	} {
		if diff := cmp.Diff(tt.want, Find(tt.all, tt.word)); diff != "" {
			t.Errorf("Find(%q) (-want +got):\n%s", tt.word, diff)
		}
	}
}
