package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestDoctorLogins checks that doctor names registries and helpers, no logins, and what is wrong with files of logins.
func TestDoctorLogins(t *testing.T) {
	export := storetest.File(t, "basic.nix-export")
	const auth = `{"auth":"YWxpY2U6c2VjcmV0"}` // alice:secret
	for _, test := range []struct {
		name, file string
		want       []string
	}{
		{"login", `{"auths":{"registry.example.com/team":` + auth + `}}`, []string{
			"login for registry.example.com/team in ~/.config/containers/auth.json\n", "  export-profile image --from hello docker://registry.example.com/team/hello:v1\n"}},
		{"helper", `{"credHelpers":{"r.io":"there"},"credsStore":"there"}`, []string{
			"login for r.io in docker-credential-there, as ~/.config/containers/auth.json says\n", "login for all others in docker-credential-there"}},
		{"missing helper", `{"credsStore":"missing"}`, []string{`names the credential helper "docker-credential-missing", which is not in PATH`, "hint: install it, or remove its name"}},
		{"helper as a path", `{"credsStore":"../../work/evil"}`, []string{"which is a path"}},
		{"damaged entry", `{"auths":{"r.io":{"auth":"secret"}}}`, []string{`its entry is damaged`, "hint: log in again: podman login r.io"}},
		{"odd names", `{"auths":{"\u001b[2J":` + auth + `},"credHelpers":{"\u001b":"x"}}`, []string{`its entry is damaged`}},
		{"not JSON", `secret`, []string{"it is not JSON: byte 1 is wrong", "hint: move the file away and log in again"}},
		{"other JSON", `{"auths":["secret"]}`, []string{"it is JSON, but not of auths"}},
		{"huge", strings.Repeat(" ", 5<<20), []string{"it has more than 4 MiB"}},
		{"pipe", "", []string{"not a regular file"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			home := bareMachine(t)
			makeFile(t, home+"/bin/docker-credential-there", "#!/bin/sh\ntouch $HOME/asked\n", 0o755)
			makeFile(t, "evil", "#!/bin/sh\ntouch $HOME/asked\n", 0o755)
			makeLink(t, export, "hello")
			file := filepath.Join(home, ".config/containers/auth.json")
			makeFile(t, file, test.file, 0o600)
			if test.name == "pipe" {
				removeFile(t, file)
				if err := syscall.Mkfifo(file, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			text, _ := examine(t, t.TempDir())
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("doctor prints:\n%s\nwant in it: %s", text, want)
				}
			}
			if strings.Contains(text, "secret") || strings.Contains(text, "YWxp") || strings.Contains(text, "alice:") || strings.Contains(text, "\x1b") {
				t.Errorf("doctor prints a secret or a control character:\n%q", text)
			}
			if exists(home + "/asked") {
				t.Error("doctor has run a credential helper")
			}
		})
	}
	bareMachine(t)
	t.Setenv("REGISTRY_AUTH_FILE", "missing")
	if text, _ := examine(t, t.TempDir()); !strings.Contains(text, "hint: unset REGISTRY_AUTH_FILE") {
		t.Errorf("doctor prints:\n%s\nwant a hint about REGISTRY_AUTH_FILE", text)
	}
}

// TestDoctorTools checks how doctor asks tools for their version, and that it runs none of the working directory.
func TestDoctorTools(t *testing.T) {
	export := storetest.File(t, "basic.nix-export")
	home := bareMachine(t)
	makeLink(t, export, "hello")
	makeFile(t, "podman", "#!/bin/sh\ntouch $HOME/ran\n", 0o755)
	t.Setenv("PATH", ".:"+home+"/bin:/usr/bin:/bin")
	makeFile(t, home+"/bin/podman", "#!/bin/sh\nexit 1\n", 0o755)
	makeFile(t, home+"/bin/docker", "#!/bin/sh\nprintf 'Docker version 28.2.2\\033[2J, build e6534b4'\n", 0o755)
	makeFile(t, home+"/bin/skopeo", "#!/bin/sh\nhead -c 1000000 /dev/zero; echo 1.9.3\n", 0o755)
	makeFile(t, home+"/bin/umoci", "#!/bin/sh\necho version unknown\n", 0o755)
	text, _ := examine(t, t.TempDir())
	if exists(home + "/ran") {
		t.Error("doctor has run a program of the working directory")
	}
	for _, want := range []string{"docker 28.2.2, without a daemon\n", "skopeo of an unknown version\n", "umoci of an unknown version\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("doctor prints:\n%s\nwant in it: %s", text, want)
		}
	}

	t.Setenv("PATH", home+"/bin")
	text, d := examine(t, t.TempDir())
	if !strings.Contains(d.Commands[0], "| podman load") || !strings.Contains(text, "podman of an unknown version\n") {
		t.Errorf("doctor suggests %q; want podman", d.Commands)
	}
	removeFile(t, home+"/bin/podman")
	text, d = examine(t, t.TempDir())
	if !strings.Contains(text, "problem: docker: find daemon: ") || len(d.Commands) != 1 || d.Commands[0] != "export-profile image --from hello oci:hello:v1" {
		t.Errorf("doctor prints:\n%s\nwant a problem, and a layout", text)
	}
	listen(t, home+"/run/docker.sock")
	if text, d = examine(t, t.TempDir()); !strings.Contains(d.Commands[0], "| docker load") || !strings.Contains(text, "its daemon listens on "+home) {
		t.Errorf("doctor prints:\n%s\nwant docker load", text)
	}
	t.Setenv("DOCKER_HOST", "tcp://alice:secret@example.com")
	if text, _ = examine(t, t.TempDir()); !strings.Contains(text, "with the daemon that DOCKER_HOST names") || strings.Contains(text, "secret") {
		t.Errorf("doctor prints:\n%s\nwant no secret", text)
	}

}

// listen makes a socket on which a daemon accepts connections.
func listen(t *testing.T, socket string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
}

// TestDoctorDocker checks that doctor finds the machine's own daemon, and what a user reads who may not talk to it.
func TestDoctorDocker(t *testing.T) {
	home := bareMachine(t)
	makeFile(t, home+"/bin/docker", "#!/bin/sh\necho Docker version 28.2.2\n", 0o755)
	root := t.TempDir()
	for _, socket := range []string{root + "/var/run/docker.sock", root + "/run/docker.sock"} {
		listen(t, socket)
		if text, _ := examine(t, root); !strings.Contains(text, "docker 28.2.2, its daemon listens on "+socket+"\n") {
			t.Errorf("doctor prints:\n%s\nwant the daemon at %s", text, socket)
		}
	}
	asOther(t, root+"/run")
	if text, _ := examine(t, root); !strings.Contains(text, "permission denied\n     hint: write a file and load it as root: ") {
		t.Errorf("doctor prints:\n%s\nwant a hint to use root", text)
	}
}

// TestToolVersionHangs checks that no program keeps doctor waiting, and that nothing of it is left running.
func TestToolVersionHangs(t *testing.T) {
	home := bareMachine(t)
	makeFile(t, home+"/bin/slow", "#!/bin/sh\n/bin/sleep 600 &\necho $! > $HOME/child\nwait\n", 0o755)
	child := ""
	for timeout := time.Second; child == ""; timeout *= 2 { // a busy machine may need longer to start it
		start := time.Now()
		if got := toolVersion(t.Context(), home+"/bin/slow", timeout); got != "" || time.Since(start) > 300*time.Second {
			t.Fatalf("toolVersion of a program that hangs = %q after %v", got, time.Since(start))
		}
		b, _ := os.ReadFile(home + "/child")
		child = strings.TrimSpace(string(b))
	}
	if line, err := os.ReadFile(filepath.Join("/proc", child, "cmdline")); err == nil && strings.Contains(string(line), "sleep") {
		t.Errorf("toolVersion leaves %q running", line)
	}
}

// TestDoctorCache checks caches that cannot be used, and a machine whose environment says nothing.
func TestDoctorCache(t *testing.T) {
	home := bareMachine(t)
	cache := filepath.Join(home, ".cache/export-profile")
	makeFile(t, cache+"/CACHEDIR.TAG", "export-profile", 0o644)
	if text, d := examine(t, t.TempDir()); !d.Cache.Usable || d.Cache.Spool != cache || !strings.Contains(text, "~/.cache/export-profile: 0 layers, 0 B\n") {
		t.Errorf("doctor prints:\n%s\nwant a cache without layers", text)
	}
	if err := os.Chmod(cache, 0o777); err != nil {
		t.Fatal(err)
	}
	if text, d := examine(t, t.TempDir()); d.Cache.Usable || !strings.Contains(text, "others may write into it\n     hint: name another directory") {
		t.Errorf("doctor prints:\n%s\nwant a problem", text)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(cache, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		if text, d := examine(t, t.TempDir()); d.Cache.Usable || !strings.Contains(text, "it belongs to user 12345, and this runs as user 0") {
			t.Errorf("doctor prints:\n%s\nwant a problem", text)
		}
	}
	if err := os.RemoveAll(cache); err != nil {
		t.Fatal(err)
	}
	makeFile(t, cache+"/CACHEDIR.TAG", "export-profile", 0o644)
	for _, part := range []string{"layers-1", "facts", "narinfo"} {
		if err := syscall.Mkfifo(filepath.Join(cache, part), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if text, d := examine(t, t.TempDir()); d.Cache.Usable || !strings.Contains(text, "not a directory\n     hint: name another directory") {
		t.Errorf("doctor prints:\n%s\nwant a problem", text)
	}
	if err := os.RemoveAll(cache); err != nil {
		t.Fatal(err)
	}
	makeFile(t, cache, "a file", 0o644)
	if text, d := examine(t, t.TempDir()); d.Cache.Usable || !strings.Contains(text, "not a directory\n     hint: name another directory") {
		t.Errorf("doctor prints:\n%s\nwant a problem", text)
	}
	t.Setenv("HOME", "")
	if text, _ := examine(t, t.TempDir()); !strings.Contains(text, "there is no cache: neither $XDG_CACHE_HOME nor $HOME says where it is\n     hint: set HOME") {
		t.Errorf("doctor prints:\n%s\nwant a problem", text)
	}
}

func TestPartialImages(t *testing.T) {
	for _, test := range []struct {
		conf string
		want bool
	}{
		{"", false},
		{"[storage.options.pull_options]\nenable_partial_images = \"true\"\n", true},
		{"[storage.options.pull_options]\n enable_partial_images=\"true\" # chunks\n", true},
		{"[storage.options.pull_options]\nenable_partial_images = \"false\"\n", false},
		{"[storage.options.pull_options]\n# enable_partial_images = \"true\"\n", false},
		{"[storage.options]\npull_options = {enable_partial_images = \"true\", use_hard_links = \"false\"}\n", true},
		{"[storage.options]\npull_options = {use_hard_links = \"true\"}\n", false},
		{"[storage.options.overlay]\nenable_partial_images = \"true\"\n", false},
		{strings.Repeat("x", 1<<20), false},
	} {
		if got := partialImages([]byte(test.conf)); got != test.want {
			t.Errorf("partialImages(%.60q) = %t; want %t", test.conf, got, test.want)
		}
	}
}

func FuzzPartialImages(f *testing.F) {
	for _, key := range []string{"", "[storage.options.pull_options]\nenable_partial_images = \"true\"\n", "[storage.options]\npull_options = {enable_partial_images = \"true\"}\n"} {
		f.Add([]byte(key))
	}
	f.Fuzz(func(t *testing.T, conf []byte) {
		if partialImages(conf) && !bytes.Contains(conf, []byte("enable_partial_images")) {
			t.Errorf("partialImages(%q) = true", conf)
		}
	})
}

func TestHasSubordinate(t *testing.T) {
	for _, test := range []struct {
		file string
		want bool
	}{
		{"", false}, {"alice:100000:65536\n", true}, {"1000:100000:65536", true}, {"bob:1:1\nalice:2:1\n", true},
		{"alice2:100000:65536\n", false}, {"bob:alice:1\n", false}, {"alice:\n", false}, {"#alice:1:1\n", false},
	} {
		if got := hasSubordinate([]byte(test.file), "alice", "1000"); got != test.want {
			t.Errorf("hasSubordinate(%q) = %t; want %t", test.file, got, test.want)
		}
	}
}

func TestMainProgram(t *testing.T) {
	for _, test := range []struct {
		programs, want string // those of a package hello, separated by commas
	}{
		{"", ""}, {"a,hello", "hello"}, {"a,hello,hello-1.0", "hello-1.0"}, {"a", "a"}, {"a,b", ""}, {"a,sh", "sh"}, {"\x1b[2J", ""}, {"a\nb", ""},
	} {
		programs := strings.FieldsFunc(test.programs, func(r rune) bool { return r == ',' })
		if got := mainProgram("/nix/store/fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0", programs); got != test.want {
			t.Errorf("mainProgram(%q) = %q; want %q", programs, got, test.want)
		}
	}
}

// TestDoctorQuotes checks that odd names of programs and sources are one word for a shell, and that a source is not taken for an image.
func TestDoctorQuotes(t *testing.T) {
	d := &doctor{doctorResult: doctorResult{Tools: []foundTool{{Name: "podman", Usable: true}}}}
	commands := d.loadCommands(material{name: "hello", program: "hello; touch $HOME/x"})
	if got, want := commands[1], "podman run --rm hello:v1 'hello; touch $HOME/x'"; got != want {
		t.Errorf("doctor suggests %q; want %q", got, want)
	}
	for name, want := range map[string]string{"oci:x": "./oci:x", "-x": "./-x", "a?b": "'./a?b'", "a b": "'a b'"} {
		d := &doctor{doctorResult: doctorResult{Sources: []foundSource{{Name: name, file: true}}}}
		if m, _ := d.material(); m.flags != " --from "+want {
			t.Errorf("doctor names the source %q as%s; want %s", name, m.flags, want)
		}
	}
}

func TestNameForImage(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{"hello-1.0", "hello"}, {"hello.export", "hello"}, {"hello-2.12.1.tar.gz", "hello"}, {"user-environment", "profile"},
		{"My App_x", "my-app-x"}, {"gtk+-3.24", "gtk"}, {"ä", "image"}, {"-", "image"}, {".tar", "image"}, {"server.example.com", "server-example-com"},
		{"setup.exp", "setup-exp"}, {"a.ta", "a-ta"},
	} {
		if got := nameForImage(test.name); got != test.want {
			t.Errorf("nameForImage(%q) = %q; want %q", test.name, got, test.want)
		}
	}
}
