package registry

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestListLogins checks that a list of logins names registries and helpers, and has no secret of any file.
func TestListLogins(t *testing.T) {
	secret := encoded("alice:secret")
	for _, test := range loginLists() {
		file := filepath.Join(t.TempDir(), "auth.json")
		if err := os.WriteFile(file, []byte(test.file), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ListLogins(file)
		if d := cmp.Diff(test.want, got); d != "" || (err != nil) != (test.want == nil) {
			t.Errorf("%s: ListLogins: %v (-want +got):\n%s", test.name, err, d)
		}
		if text := fmt.Sprintf("%+v %v", got, err); strings.Contains(text, "secret") || strings.Contains(text, secret) {
			t.Errorf("%s: ListLogins returns the secret: %s", test.name, text)
		}
	}
	pipe := filepath.Join(t.TempDir(), "auth.json")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := ListLogins(pipe); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("ListLogins of a pipe = %v, %v; want an error", got, err)
	}
}

type loginList struct {
	name, file string
	want       *LoginList // nil for an error
}

// loginLists has auth files, and what they list. Their logins have the password secret.
func loginLists() []loginList {
	secret := encoded("alice:secret")
	return []loginList{
		{"empty", ``, &LoginList{}},
		{"none", `{}`, &LoginList{}},
		{"two", `{"auths":{"r.io/team":{"auth":"` + secret + `"},"q.io":{"identitytoken":"secret"}}}`, &LoginList{Registries: []string{"q.io", "r.io/team"}}},
		{"URL", `{"auths":{"https://index.docker.io/v1/":{"auth":"` + secret + `"}}}`, &LoginList{Registries: []string{"index.docker.io"}}},
		{"login in a URL", `{"auths":{"https://alice:secret@r.io/v1/":{"auth":"` + secret + `"}}}`, &LoginList{Registries: []string{"r.io"}}},
		{"login with a slash in a URL", `{"auths":{"https://alice:se/cret@r.io/v1/":{"auth":"` + secret + `"}}}`, &LoginList{Registries: []string{"r.io"}}},
		{"without a login", `{"auths":{"r.io":{}}}`, &LoginList{}},
		{"damaged", `{"auths":{"r.io":{"auth":"secret"},"q.io":["secret"]}}`, &LoginList{Damaged: []string{"q.io", "r.io"}}},
		{"helpers", `{"credsStore":"all","credHelpers":{"r.io":"one"},"auths":{"q.io":{}}}`, &LoginList{Store: "all", Helpers: map[string]string{"r.io": "one"}}},
		{"not JSON", `{"auths": secret}`, nil},
		{"not an object", `["secret"]`, nil},
		{"other types", `{"auths":"secret"}`, nil},
		{"too large", strings.Repeat(" secret", maxAuthFile/7+1), nil},
	}
}

func FuzzListLogins(f *testing.F) {
	for _, test := range loginLists() {
		if len(test.file) < 1<<10 {
			f.Add(test.file)
		}
	}
	f.Fuzz(func(t *testing.T, content string) {
		file := filepath.Join(t.TempDir(), "auth.json")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		one, err := ListLogins(file)
		two, err2 := ListLogins(file)
		if d := cmp.Diff(one, two); d != "" || (one == nil) == (err == nil) || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Errorf("ListLogins = %+v, %v, and then %+v, %v", one, err, two, err2)
		}
	})
}
