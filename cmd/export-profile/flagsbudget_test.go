package main

import (
	"strings"
	"testing"
)

func TestBudget(t *testing.T) {
	for _, tt := range []struct {
		size, growth string
		before, now  int64
		want         string // the reasons, or the error
	}{
		{"", "", 0, 1 << 60, ""},
		{"1kB", "", 0, 1000, ""},
		{"1kB", "", 0, 1001, "x has 1.0 kB of blobs, and --max-size allows 1.0 kB"},
		{"", "0", 7, 7, ""},
		{"", "0", 7, 8, "x has grown by 1 B of blobs, and --max-growth allows 0 B"},
		{"", "0", 8, 7, ""},
		{"", "1MB", 1000, 1001000, ""},
		{"", "1MB", 1000, 1001001, "x has grown by 1.0 MB of blobs, and --max-growth allows 1.0 MB"},
		{"", "0%", 7, 7, ""},
		{"", "2.5%", 1000, 1025, ""},
		{"", "2.5%", 1000, 1026, "x has grown by 26 B of blobs, and --max-growth allows 2.5%, which is 25 B"},
		{"", "1000000%", 1 << 62, 1<<63 - 1, ""},
		{"10B", "10%", 10, 20, "x has 20 B of blobs, and --max-size allows 10 B; x has grown by 10 B of blobs, and --max-growth allows 10%, which is 1 B"},
		{"", "-1%", 0, 0, "want bytes or percent"},
		{"", "NaN%", 0, 0, "want bytes or percent"},
		{"", "%", 0, 0, "want bytes or percent"},
		{"", "-1", 0, 0, "--max-growth: "},
		{"0", "", 0, 0, "--max-size: "},
	} {
		b, err := parseBudget(tt.size, tt.growth)
		got := ""
		if err == nil {
			err = b.check("x", "blobs", tt.now, &tt.before)
		}
		if err != nil {
			got = err.Error()
		}
		if got != tt.want && (tt.want == "" || !strings.Contains(got, tt.want)) {
			t.Errorf("with %q and %q, from %d to %d bytes: %q; want %q", tt.size, tt.growth, tt.before, tt.now, got, tt.want)
		}
	}
}
