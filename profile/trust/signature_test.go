package trust

import (
	"strings"
	"testing"
)

func TestParseSignature(t *testing.T) {
	raw := strings.Repeat("A", 86)
	for _, tt := range []struct{ in, want string }{
		{"k-1:" + raw + "==", "k-1:" + raw + "=="},
		{"k-1:" + raw, "k-1:" + raw + "=="},
		{"schlüssel:" + raw, "schlüssel:" + raw + "=="},
		{"", ""},
		{"k-1", ""},
		{":" + raw + "==", ""},
		{"k 1:" + raw + "==", ""},
		{"k\x1b1:" + raw + "==", ""},
		{"k\xff:" + raw + "==", ""},
		{"k-1:" + raw + "=", ""},
		{"k-1:" + raw + "A==", ""},
		{"k-1:" + raw[:85], ""},
		{"k-1:" + raw[:85] + "B==", ""}, // spare bits
		{"k-1:" + raw[:40] + "\n" + raw[40:] + "==", ""},
		{"k-1:" + raw[:85] + "-==", ""},
	} {
		if got, ok := ParseSignature(tt.in); got != tt.want || ok != (tt.want != "") {
			t.Errorf("ParseSignature(%q) = %q, %v; want %q", tt.in, got, ok, tt.want)
		}
	}
}

func FuzzParseSignature(f *testing.F) {
	f.Add("k-1:" + strings.Repeat("A", 86))
	f.Fuzz(func(t *testing.T, s string) {
		padded, ok := ParseSignature(s)
		if !ok {
			return
		}
		if again, ok := ParseSignature(padded); again != padded || !ok {
			t.Errorf("ParseSignature(%q) = %q, and of that: %q, %v", s, padded, again, ok)
		}
	})
}
