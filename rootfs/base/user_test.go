package base

import (
	"strings"
	"testing"
)

func TestParseUser(t *testing.T) {
	for _, test := range []struct {
		in   string
		want User
		ok   bool
	}{
		{"app:1000", User{"app", 1000, 1000}, true},
		{"app:1000:100", User{"app", 1000, 100}, true},
		{"1000", User{"", 1000, 1000}, true},
		{"1000:100", User{"", 1000, 100}, true},
		{"0", User{}, true},
		{"root", User{"root", 0, 0}, true},
		{"nobody", User{"nobody", 65534, 65534}, true},
		{"root:0", User{"root", 0, 0}, true},
		{"_x-y.z:4294967294", User{"_x-y.z", 4294967294, 4294967294}, true},
		{"", User{}, false},
		{"app", User{}, false},
		{"root:1", User{}, false},
		{"nobody:1000", User{}, false},
		{"app:", User{}, false},
		{"app:-1", User{}, false},
		{"app:x", User{}, false},
		{"app:1:2:3", User{}, false},
		{"1:2:3", User{}, false},
		{"app:4294967295", User{}, false},
		{"a b:1", User{}, false},
		{"a/b:1", User{}, false},
		{"..:1", User{}, false},
		{"a\nb:1", User{}, false},
		{strings.Repeat("a", 33) + ":1", User{}, false},
	} {
		got, err := ParseUser(test.in)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("ParseUser(%q) = %v, %v; want %v, success %v", test.in, got, err, test.want, test.ok)
		}
	}
}

func FuzzParseUser(f *testing.F) {
	f.Add("app:1000:100")
	f.Add("1:2")
	f.Add("root")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseUser(s)
		if err != nil {
			return
		}
		again := u.ID()
		if u.Name != "" {
			again = u.Name + ":" + again
		}
		if v, err := ParseUser(again); err != nil || v != u {
			t.Errorf("ParseUser(%q) = %v; ParseUser(%q) = %v, %v", s, u, again, v, err)
		}
		if strings.ContainsAny(u.Name, ":/\n\x00") {
			t.Errorf("ParseUser(%q) = %v: its name would break /etc/passwd", s, u)
		}
	})
}
