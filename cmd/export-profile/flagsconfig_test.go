package main

import (
	"testing"
	"time"
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

func TestParseTime(t *testing.T) {
	may := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"2024-05-01": may, "2024-05-01T02:00:00+02:00": may, "2024-05-01T00:00:00Z": may, "1714521600": may, "@1714521600": may,
		"2024-02-30": {}, "2024-5-1": {}, "2024-05-01 12:00": {}, "20240501T000000Z": {}, "@": {}, "-1": {}, "@-1": {}, "yesterday": {},
	} {
		got, err := parseTime("--created", s)
		if !got.Equal(want) || (err == nil) == want.IsZero() {
			t.Errorf("parseTime(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
}
