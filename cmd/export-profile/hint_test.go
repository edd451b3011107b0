package main

import (
	"strings"
	"testing"
)

func TestCutQuoted(t *testing.T) {
	long := strings.Repeat("d/", 250) + `\"\\`
	for _, test := range []struct{ in, want string }{
		{"", ""},
		{`read "/a": is gone`, `read "/a": is gone`},
		{`read "` + long + `": is gone`, `read "` + long + `": is gone`},
		{`read "` + long + strings.Repeat("e", 20) + `": "/a" is gone`, `read "` + long + strings.Repeat("e", 8) + `…": "/a" is gone`},
		{`"` + strings.Repeat("é", 300) + `" "`, `"` + strings.Repeat("é", 256) + `…" "`},
		{"one \" and\na path \"/b\"", "one \" and\na path \"/b\""},
		{strings.Repeat("no quotes ", 200), strings.Repeat("no quotes ", 200)},
	} {
		if got := cutQuoted(test.in); got != test.want {
			t.Errorf("cutQuoted(%q) = %q; want %q", test.in, got, test.want)
		}
	}
}
