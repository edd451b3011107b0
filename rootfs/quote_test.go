package rootfs

import (
	"strconv"
	"testing"
)

func TestAppendQuoted(t *testing.T) {
	words := []string{"", "nix/store/a-1.0_+?=", "ä", "\xff", "a\u2028b"}
	for c := range 256 {
		words = append(words, "a"+string([]byte{byte(c)})+"b")
	}
	for _, s := range words {
		if got, want := string(AppendQuoted([]byte("x"), s)), "x"+strconv.Quote(s); got != want {
			t.Errorf("AppendQuoted(%q) = %s; want %s", s, got, want)
		}
	}
}
