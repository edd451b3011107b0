package main

import "testing"

// TestDuSize checks that sizes are rounded up, as du -h does.
func TestDuSize(t *testing.T) {
	for _, tt := range []struct {
		n    int64
		want string
	}{
		{0, "0"}, {1023, "1023"}, {1024, "1.0K"}, {1025, "1.1K"}, {10137, "9.9K"}, {10138, "10K"}, {10240, "10K"}, {10241, "11K"},
		{1 << 20, "1.0M"}, {1<<20 - 1, "1.0M"}, {1023 << 10, "1023K"}, {1023<<10 + 1, "1.0M"}, {1 << 30, "1.0G"}, {1<<63 - 1, "8.0E"},
	} {
		if got := duSize(tt.n); got != tt.want {
			t.Errorf("duSize(%d) = %q; want %q", tt.n, got, tt.want)
		}
	}
}
