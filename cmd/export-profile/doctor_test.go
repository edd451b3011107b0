package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/export-profile/export-profile/profile/storetest"
)

// examine lets doctor look at a machine with a store below root, and returns the text and the result.
// The machine has no container tools, and its user only what the test has put into HOME and the working directory.
func examine(t *testing.T, root string) (string, *doctor) {
	t.Helper()
	d := &doctor{root: root}
	d.look(t.Context())
	d.askTools(t.Context())
	var text, asJSON strings.Builder
	if err := d.print(terminal{out: &text}, false); err != nil {
		t.Fatal(err)
	}
	if err := d.print(terminal{out: &asJSON}, true); err != nil {
		t.Fatal(err)
	}
	var again doctorResult
	if err := json.Unmarshal([]byte(asJSON.String()), &again); err != nil || len(again.Problems) != len(d.Problems) {
		t.Errorf("the JSON of doctor: %v, %d problems; want %d", err, len(again.Problems), len(d.Problems))
	}
	return text.String(), d
}

// bareMachine sets up an environment without anything that doctor finds, and returns the home directory.
func bareMachine(t *testing.T) (home string) {
	home = t.TempDir()
	for _, name := range append(variables, "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "DOCKER_HOST", "CONTAINERS_STORAGE_CONF", "NIX_SSL_CERT_FILE") {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", home)
	t.Setenv("USER", "alice")
	t.Setenv("XDG_RUNTIME_DIR", filepath.Join(home, "run"))
	t.Setenv("PATH", filepath.Join(home, "bin"))
	work := filepath.Join(home, "work")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(work)
	return home
}

func makeFile(t *testing.T, name, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func makeLink(t *testing.T, target, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

// nixMachine writes the root of a machine with the golden store and its database.
func nixMachine(t *testing.T) string {
	sample := storetest.GoldenSample(t)
	root := cleanUp(t, sample.WriteRoot(t))
	sample.AddDatabase(t, root)
	return root
}

// TestDoctorEmpty checks what doctor says on a machine without anything: what to do on another one.
func TestDoctorEmpty(t *testing.T) {
	bareMachine(t)
	text, d := examine(t, t.TempDir())
	if len(d.Commands) > 0 || len(d.Stores) > 0 || d.Profile != nil {
		t.Errorf("doctor finds %+v; want nothing", d.doctorResult)
	}
	for _, want := range []string{
		"none: there is no /nix/store and no /gnu/store\n", "no profile, no result link, and no file here that --from reads\n",
		"~/.cache/export-profile: the first image will make it\n", "  no logins\n", "none: an image can still go into a layout",
		"nix-store --export $(nix-store -qR ./result) > hello.export\n", "--no-profile --add",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("doctor prints:\n%s\nwant in it: %s", text, want)
		}
	}
}

// TestDoctorStore checks the store, the profile, result links, and which of them the command is about.
func TestDoctorStore(t *testing.T) {
	root := nixMachine(t)
	home := bareMachine(t)
	profile := string(storetest.GoldenProfile)
	makeLink(t, profile, home+"/.local/state/nix/profiles/profile-7-link")
	makeLink(t, profile, home+"/.local/state/nix/profiles/profile-12-link")
	makeLink(t, profile, home+"/.local/state/nix/profiles/other-1-link")
	makeLink(t, "profile-12-link", home+"/.local/state/nix/profiles/profile")
	makeLink(t, home+"/.local/state/nix/profiles/profile", home+"/.nix-profile")
	text, d := examine(t, root)
	if want := fmt.Sprintf("~/.nix-profile is %s, with 5 programs; generation 12, 2 are kept\n", profile); !strings.Contains(text, want) {
		t.Errorf("doctor prints:\n%s\nwant in it: %s", text, want)
	}
	if len(d.Stores) != 1 || !d.Stores[0].Usable || d.Stores[0].Paths != 6 || d.Profile == nil || len(d.Problems) > 0 && d.Problems[0].About == aboutStore {
		t.Errorf("doctor finds %+v; want a store of 6 store paths", d.doctorResult)
	}
	if got, want := strings.Join(d.Commands, "; "), "export-profile image oci:profile:v1"; got != want {
		t.Errorf("doctor suggests %q; want %q", got, want)
	}

	hello := "/nix/store/fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0"
	makeLink(t, hello, "result")
	makeLink(t, profile, "result-2")
	makeLink(t, "/etc", "result-3") // of another program
	makeLink(t, "result-4", "result-4")
	makeLink(t, "/nix/store/00000000000000000000000000000000-gone", "result-5")
	makeLink(t, "/nix/store/00000000000000000000000000000000-gone", "result-\x1b[2J")
	makeFile(t, home+"/bin/podman", "#!/bin/sh\necho podman version 4.3.1\n", 0o755)
	text, d = examine(t, root)
	want := []string{"export-profile image --profile ./result --tag hello:v1 docker-archive:- | podman load", "podman run --rm hello:v1 hello"}
	if got := strings.Join(d.Commands, "; "); got != strings.Join(want, "; ") {
		t.Errorf("doctor suggests %q; want %q", got, want)
	}
	for _, want := range []string{
		"./result is " + hello + ", with 1 program\n", "./result-2 is " + profile,
		`problem: profile "./result-4": more than 1024 links`, `problem: profile "./result-5"`, "hint: the store no longer has it: build it again", "podman 4.3.1\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("doctor prints:\n%s\nwant in it: %s", text, want)
		}
	}
	if strings.Contains(text, "result-3") || strings.Contains(text, "\x1b") {
		t.Errorf("doctor prints %q; want nothing of /etc and no control characters", text)
	}
}

// TestDoctorImages checks that doctor makes no image of a result that is one.
func TestDoctorImages(t *testing.T) {
	stream, root := storetest.File(t, "basic.nix-export"), nixMachine(t)
	home := bareMachine(t)
	makeFile(t, home+"/bin/podman", "#!/bin/sh\necho podman version 4.3.1\n", 0o755)
	const hello, cacert = "/nix/store/fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0", "/nix/store/jq6vpp2wg7rf16gh48swiirv3j9hywck-cacert-3.86"
	makeLink(t, hello, "result")
	if err := os.Chmod(root+hello, 0o755); err != nil {
		t.Fatal(err)
	}
	if status := run(t.Context(), []string{"image", "--quiet", "--no-cache", "--from", stream, "oci:layout:v1"}, terminal{out: io.Discard, err: io.Discard}); status != 0 {
		t.Fatalf("image exits with status %d", status)
	}
	for _, name := range []string{"oci-layout", "index.json"} {
		if err := os.Rename("layout/"+name, root+hello+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	text, d := examine(t, root)
	if len(d.Commands) > 0 {
		t.Errorf("doctor suggests %q; want nothing", d.Commands)
	}
	for _, want := range []string{"./result is the image oci:result, in " + hello + "\n",
		"\n./result is an image already. To look into it and run it:\n  export-profile report oci:result result.html\n  podman run --rm $(podman pull -q oci:result)\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("doctor prints:\n%s\nwant in it: %s", text, want)
		}
	}
	makeLink(t, cacert, "result-2")
	if _, d = examine(t, root); len(d.Commands) != 2 || !strings.Contains(d.Commands[0], "--profile ./result-2 ") {
		t.Errorf("doctor suggests %q; want an image of result-2", d.Commands)
	}
}

// TestDoctorSources checks that doctor finds sources in the working directory by their contents.
func TestDoctorSources(t *testing.T) {
	b, err := os.ReadFile(storetest.File(t, "basic.nix-export"))
	if err != nil {
		t.Fatal(err)
	}
	cache := storetest.File(t, "basic.cache")
	bareMachine(t)
	makeFile(t, "My App-1.2.export", string(b), 0o644)
	makeFile(t, "notes.export", "no stream", 0o644)
	makeFile(t, ".hidden", string(b), 0o644)
	makeFile(t, "odd\n", string(b), 0o644)
	makeLink(t, cache, "a-cache")
	makeLink(t, "loop", "loop")
	if err := syscall.Mkfifo("a-pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	text, d := examine(t, t.TempDir())
	want := []foundSource{{"My App-1.2.export", "an export stream", true}, {"a-cache", "a binary cache", false}}
	if !slices.Equal(d.Sources, want) {
		t.Errorf("doctor finds %+v; want %+v", d.Sources, want)
	}
	if !strings.Contains(text, "  export-profile image --from 'My App-1.2.export' oci:my-app:v1\n") {
		t.Errorf("doctor prints:\n%s\nwant a command", text)
	}
}

// TestDoctorWritesNothing checks that doctor leaves no file behind, and makes none.
func TestDoctorWritesNothing(t *testing.T) {
	root := nixMachine(t)
	home := bareMachine(t)
	makeLink(t, string(storetest.GoldenProfile), home+"/.nix-profile")
	names := func() (all []string) {
		for _, dir := range []string{home, root} {
			_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
				all = append(all, path)
				return err
			})
		}
		return all
	}
	before := names()
	examine(t, root)
	if after := names(); strings.Join(before, "\n") != strings.Join(after, "\n") {
		t.Errorf("doctor changes the files %q to %q", before, after)
	}
}

// TestDoctorStops checks that doctor ends when it is interrupted.
func TestDoctorStops(t *testing.T) {
	root := nixMachine(t)
	bareMachine(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := &doctor{root: root}
	d.look(ctx)
	d.askTools(ctx)
	if len(d.Commands) > 0 {
		t.Errorf("doctor suggests %q after it was interrupted", d.Commands)
	}
}
