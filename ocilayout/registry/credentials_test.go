package registry

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func encoded(login string) string { return base64.StdEncoding.EncodeToString([]byte(login)) }

// authFiles has the wanted login for a repository in each file.
var authFiles = []struct {
	name, file, repository, want string
}{
	{"none", `{}`, "registry.example.com/x", ""},
	{"empty", ``, "registry.example.com/x", ""},
	{"registry", `{"auths":{"registry.example.com":{"auth":"` + encoded("a:b") + `"}}}`, "registry.example.com/x", "a:b"},
	{"other registry", `{"auths":{"registry.example.com":{"auth":"` + encoded("a:b") + `"}}}`, "registry.example.com:443/x", ""},
	{"plain fields", `{"auths":{"registry.example.com":{"username":"a","password":"b"}}}`, "registry.example.com/x", "a:b"},
	{"colon", `{"auths":{"registry.example.com":{"auth":"` + encoded("a:b:c") + `"}}}`, "registry.example.com/x", "a:b:c"},
	{"URL", `{"auths":{"https://registry.example.com/v2/":{"auth":"` + encoded("a:b") + `"}}}`, "registry.example.com/x", "a:b"},
	{"Docker Hub as docker writes it", `{"auths":{"https://index.docker.io/v1/":{"auth":"` + encoded("a:b") + `"}}}`, "hello", "a:b"},
	{"Docker Hub as podman writes it", `{"auths":{"docker.io":{"auth":"` + encoded("a:b") + `"}}}`, "team/hello", "a:b"},
	{"repository before namespace", `{"auths":{"r.io":{"auth":"` + encoded("r:r") + `"},"r.io/a":{"auth":"` + encoded("a:a") + `"},"r.io/a/b":{"auth":"` + encoded("b:b") + `"}}}`, "r.io/a/b", "b:b"},
	{"namespace", `{"auths":{"r.io":{"auth":"` + encoded("r:r") + `"},"r.io/a":{"auth":"` + encoded("a:a") + `"}}}`, "r.io/a/c", "a:a"},
	{"other namespaces", `{"auths":{"r.io/a":{"auth":"` + encoded("a:a") + `"},"r.io/b":{"auth":"` + encoded("b:b") + `"}}}`, "r.io/c", ""},
	{"entry without a login", `{"auths":{"r.io":{}}}`, "r.io/c", ""},
	{"helper", `{"credHelpers":{"r.io":"fake"},"auths":{"r.io":{"auth":"` + encoded("r:r") + `"}}}`, "r.io/c", "helper:r.io"},
	{"store", `{"credsStore":"fake","auths":{"r.io":{}}}`, "r.io/c", "helper:r.io"},
	{"helper of another registry", `{"credHelpers":{"s.io":"fake"},"auths":{"r.io":{"auth":"` + encoded("r:r") + `"}}}`, "r.io/c", "r:r"},
	{"Docker Hub from a helper", `{"credsStore":"fake"}`, "hello", "helper:https://index.docker.io/v1/"},
	{"store without a login", `{"credsStore":"empty","auths":{"r.io":{"auth":"` + encoded("r:r") + `"}}}`, "r.io/c", "r:r"},
	{"not base64", `{"auths":{"r.io":{"auth":"!"}}}`, "r.io/c", "error"},
	{"no colon", `{"auths":{"r.io":{"auth":"` + encoded("secret") + `"}}}`, "r.io/c", "error"},
	{"not an object", `[]`, "r.io/c", "error"},
	{"not JSON", `{`, "r.io/c", "error"},
	{"helper fails", `{"credsStore":"broken"}`, "r.io/c", "error"},
	{"missing helper", `{"credsStore":"missing"}`, "r.io/c", "error"},
}

// installHelpers puts credential helpers into PATH: one with every login, one without any, and one that fails.
func installHelpers(t *testing.T) {
	dir := t.TempDir()
	for name, script := range map[string]string{
		"fake":   `read server; echo "{\"ServerURL\":\"$server\",\"Username\":\"helper\",\"Secret\":\"$server\"}"`,
		"empty":  `echo "credentials not found in native keychain"; exit 1`,
		"broken": `echo "it is locked"; exit 1`,
	} {
		if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestReadLogin(t *testing.T) {
	installHelpers(t)
	for _, tt := range authFiles {
		file := filepath.Join(t.TempDir(), "auth.json")
		if err := os.WriteFile(file, []byte(tt.file), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := ParseReference(tt.repository)
		if err != nil {
			t.Fatal(err)
		}
		c, err := readLogin(t.Context(), file, r)
		got := ""
		if c.Username != "" {
			got = c.Username + ":" + c.Password
		}
		if (err != nil) != (tt.want == "error") || err == nil && got != tt.want {
			t.Errorf("%s: readLogin = %q, %v; want %q", tt.name, got, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error contains the secret: %v", tt.name, err)
		}
	}
	if _, err := readLogin(t.Context(), filepath.Join(t.TempDir(), "none"), Reference{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("readLogin of a missing file: %v; want %v", err, fs.ErrNotExist)
	}
}

func FuzzReadLogin(f *testing.F) {
	for _, tt := range authFiles {
		f.Add(tt.file, tt.repository)
	}
	f.Fuzz(func(t *testing.T, content, repository string) {
		r, err := ParseReference(repository)
		if err != nil || strings.Contains(strings.ToLower(content), "cred") { // never run a helper
			return
		}
		file := filepath.Join(t.TempDir(), "auth.json")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		one, err1 := readLogin(t.Context(), file, r)
		two, err2 := readLogin(t.Context(), file, r)
		if one != two || fmt.Sprint(err1) != fmt.Sprint(err2) {
			t.Errorf("readLogin = %v, %v, and then %v, %v; want the same", one, err1, two, err2)
		}
	})
}

// TestLogin checks that the first file that knows the registry wins, and that no other registry gets the login.
func TestLogin(t *testing.T) {
	f := newFake(t)
	f.login = "user:right"
	dir := t.TempDir()
	file := func(name, login string) string {
		path := filepath.Join(dir, name)
		content := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, f.at("x").Registry, encoded(login))
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	right, wrong, missing := file("right", "user:right"), file("wrong", "user:wrong"), filepath.Join(dir, "missing")
	img := image(t, nil, "none", part("a", 1, 1<<10))
	for _, tt := range []struct {
		name  string
		files []string
		ok    bool
	}{
		{"right", []string{missing, right, wrong}, true},
		{"wrong", []string{wrong, right}, false},
		{"none", []string{missing}, false},
	} {
		_, _, err := push(t.Context(), t, client(t, Options{AuthFiles: tt.files}), f.at("x"), nil, img)
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrDenied) {
			t.Errorf("push with the login %s: %v; want success: %v", tt.name, err, tt.ok)
		}
	}
	c := client(t, Options{AuthFiles: []string{right}})
	r, err := c.repository(t.Context(), f.at("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.credential(t.Context(), "registry.example.com"); err != nil || got.Username != "" {
		t.Errorf("another host gets the login of %q, %v; want none", got.Username, err)
	}
}
