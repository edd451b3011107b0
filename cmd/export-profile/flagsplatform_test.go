package main

import (
	"testing"
)

func TestParsePlatform(t *testing.T) {
	for _, test := range []struct{ in, want, hint string }{
		{"linux/amd64", "linux/amd64", ""},
		{"linux/arm/v7", "linux/arm/v7", ""},
		{"linux/amd64/v3", "linux/amd64/v3", ""},
		{"windows/amd64", "windows/amd64", ""},
		{"linux/x86_64", "", "did you mean linux/amd64?"},
		{"linux/aarch64", "", "did you mean linux/arm64?"},
		{"linux/armv7l", "", "did you mean linux/arm/v7?"},
		{"x86_64-linux", "", "did you mean linux/amd64?"},
		{"aarch64-darwin", "", "did you mean darwin/arm64?"},
		{"debian/x86_64", "", "did you mean linux/amd64?"},
		{"darwin/s390x", "", "did you mean linux/s390x?"},
		{"solaris/sparc", "", "solaris has amd64"},
		{"nonsense/foo", "", "as in --platform linux/arm64"},
		{"", "", "as in --platform linux/arm64"},
		{"linux", "", "linux has 386, amd64, arm, arm64, loong64, mips, mips64, mips64le, mipsle, ppc64, ppc64le, riscv64, s390x"},
		{"linux/", "", "linux has 386, amd64, arm, arm64, loong64, mips, mips64, mips64le, mipsle, ppc64, ppc64le, riscv64, s390x"},
		{"/amd64", "", "did you mean linux/amd64?"},
		{"linux/arm/", "", "did you mean linux/arm?"},
		{"linux/arm/v7/x", "", "did you mean linux/arm/v7?"},
		{"linux/AMD64", "", "linux has 386, amd64, arm, arm64, loong64, mips, mips64, mips64le, mipsle, ppc64, ppc64le, riscv64, s390x"},
	} {
		p, err := parsePlatform(test.in)
		if test.want != "" && (err != nil || platformName(p) != test.want) {
			t.Errorf("parsePlatform(%q) = %q, %v; want %q, <nil>", test.in, platformName(p), err, test.want)
		}
		if test.want == "" && (err == nil || hint(err) != test.hint) {
			t.Errorf("parsePlatform(%q) = %q, %v, hint %q; want an error with the hint %q", test.in, platformName(p), err, hint(err), test.hint)
		}
	}
}
