package base

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseUser(t *testing.T) {
	for _, test := range []struct {
		in   string
		want User
		ok   bool
		name bool
	}{
		{"app:1000", User{Name: "app", UID: 1000, GID: 1000}, true, false},
		{"app:1000:100", User{Name: "app", UID: 1000, GID: 100}, true, false},
		{"1000", User{UID: 1000, GID: 1000}, true, false},
		{"1000:100", User{UID: 1000, GID: 100}, true, false},
		{"0", User{}, true, false},
		{"root", root, true, true},
		{"nobody", nobody, true, true},
		{"app", User{Name: "app"}, true, true},
		{"root:0", User{Name: "root", UID: 0, GID: 0}, true, false},
		{"_x-y.z:4294967294", User{Name: "_x-y.z", UID: 4294967294, GID: 4294967294}, true, false},
		{"", User{}, false, false},
		{"root:1", User{}, false, false},
		{"nobody:1000", User{}, false, false},
		{"app:", User{}, false, false},
		{"app:-1", User{}, false, false},
		{"app:x", User{}, false, false},
		{"app:1:2:3", User{}, false, false},
		{"1:2:3", User{}, false, false},
		{"app:4294967295", User{}, false, false},
		{"a b:1", User{}, false, false},
		{"a/b:1", User{}, false, false},
		{"..:1", User{}, false, false},
		{"a\nb:1", User{}, false, false},
		{strings.Repeat("a", 33) + ":1", User{}, false, false},
	} {
		got, byName, err := ParseUser(test.in)
		if got != test.want || byName != test.name || (err == nil) != test.ok {
			t.Errorf("ParseUser(%q) = %v, %v, %v; want %v, %v, success %v", test.in, got, byName, err, test.want, test.name, test.ok)
		}
	}
}

func FuzzParseUser(f *testing.F) {
	f.Add("app:1000:100")
	f.Add("1:2")
	f.Add("root")
	f.Fuzz(func(t *testing.T, s string) {
		u, byName, err := ParseUser(s)
		if err != nil {
			return
		}
		again := u.ID()
		if byName {
			again = u.Name
		} else if u.Name != "" {
			again = u.Name + ":" + again
		}
		if v, _, err := ParseUser(again); err != nil || v != u {
			t.Errorf("ParseUser(%q) = %v; ParseUser(%q) = %v, %v", s, u, again, v, err)
		}
		if strings.ContainsAny(u.Name, ":/\n\x00") {
			t.Errorf("ParseUser(%q) = %v: its name would break /etc/passwd", s, u)
		}
	})
}

// TestFindUser checks how a name becomes numbers.
func TestFindUser(t *testing.T) {
	manyUsers := ""
	for i := range 33 {
		manyUsers += fmt.Sprintf("u%d:x:1:1\n", i)
	}
	const passwd = "root:x:0:0::/root:/bin/sh\nnginx:x:101:102::/:/sbin/nologin\nodd\nbad:x:a:1::/:\nnginx:x:7:7::/:\nhuge:x:99999999999:1::/:\nlast:x:5:6"
	for _, test := range []struct {
		name, passwd string
		want         User
		wrong        string
	}{
		{"nginx", passwd, User{Name: "nginx", UID: 101, GID: 102}, ""},
		{"last", passwd, User{Name: "last", UID: 5, GID: 6}, ""},
		{"root", "root:x:0:5::/:\n", User{Name: "root", GID: 5}, ""},
		{"nobody", "nobody:x:99:98::/:\n", User{Name: "nobody", UID: 99, GID: 98}, ""},
		{"nobody", passwd, nobody, ""},
		{"root", "", root, ""},
		{"app", passwd, User{}, `user "app": the image's /etc/passwd does not have it, only ["root" "nginx" "last"]`},
		{"bad", passwd, User{}, `user "bad": the image's /etc/passwd does not have it, only ["root" "nginx" "last"]`},
		{"app", "", User{}, `user "app": the image's /etc/passwd has no users`},
		{"b", manyUsers, User{}, `"u29"] and 3 more`},
	} {
		got, err := FindUser(test.name, []byte(test.passwd))
		if got != test.want || (err == nil) != (test.wrong == "") || err != nil && !strings.HasSuffix(err.Error(), test.wrong) {
			t.Errorf("FindUser(%q) = %v, %v; want %v, %s", test.name, got, err, test.want, test.wrong)
		}
	}
}
