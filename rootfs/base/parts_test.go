package base

import (
	"strings"
	"testing"
)

// TestArchitecture checks that profiles agree on one architecture, and that profiles without programs have no say.
func TestArchitecture(t *testing.T) {
	tests := []struct {
		has        []string
		want, fail string
	}{
		{has: []string{""}},
		{has: []string{"amd64"}, want: "amd64"},
		{has: []string{"", "arm64", "", "arm64"}, want: "arm64"},
		{has: []string{"amd64", "", "arm64"}, fail: `"p0" is for amd64, "p2" for arm64`},
	}
	for _, test := range tests {
		f := Files{Architectures: test.has, profiles: []string{"p0", "p1", "p2", "p3"}[:len(test.has)]}
		got, err := f.Architecture()
		if got != test.want || (err != nil) != (test.fail != "") || err != nil && !strings.HasSuffix(err.Error(), test.fail) {
			t.Errorf("Architecture() of %q = %q, %v; want %q, %q", test.has, got, err, test.want, test.fail)
		}
	}
}
