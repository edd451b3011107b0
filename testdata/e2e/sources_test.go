package e2e

import (
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestSources makes one image from all forms of one store: they have one digest.
func TestSources(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	want := p.export(t, dir, "image", "--profile", lab.profile, "oci:layout:live")
	export := exportFile(t, lab.object)
	registration := filepath.Join(dir, "registration")
	writeFile(t, registration, do(t, nix("nix-store", "--dump-db")).stdout)
	compressed := filepath.Join(dir, "export.gz")
	writeFile(t, compressed, do(t, exec.Command("gzip", "-1c", export)).stdout)

	relocated, copied, optimised := relocate(t, lab.object), nixCopy(t, lab.object), nixCopy(t, lab.object)
	do(t, nix("nix-store", "--optimise", "--store", optimised))
	if !hasHardLinks(t, filepath.Join(optimised, "nix/store")) {
		t.Fatal("nix-store --optimise made no hard links: it tests nothing")
	}

	root := lab.root.scratch(t)
	for _, tt := range []struct {
		name  string
		flags []string
		// What is not as usual: who runs it and how.
		person *person
		umask  string
		stdin  func(t *testing.T) io.Reader
		noNix  bool
	}{
		{name: "live, as root", flags: []string{"--profile", lab.profile}, person: &lab.root},
		{name: "live, umask 000", flags: []string{"--profile", lab.profile}, umask: "000"},
		{name: "live, umask 077", flags: []string{"--profile", lab.profile}, umask: "077"},
		{name: "live, verified", flags: []string{"--profile", lab.object, "--verify-store"}},
		{name: "live, by base name", flags: []string{"--profile", filepath.Base(lab.object)}},
		{name: "file", flags: []string{"--from", export}},
		{name: "file, no Nix", flags: []string{"--from", export}, noNix: true},
		{name: "file, as root", flags: []string{"--from", export}, person: &lab.root},
		{name: "file, compressed", flags: []string{"--from", compressed}},
		{name: "file, references", flags: []string{"--from", export, "--references", registration}},
		{name: "file, references, by path", flags: []string{"--from", export, "--references", registration, "--profile", lab.object}},
		{name: "pipe", flags: []string{"--from", "-"}, stdin: func(t *testing.T) io.Reader { return exportPipe(t, lab.object) }},
		{name: "relocated", flags: []string{"--from", relocated}},
		{name: "relocated, no Nix", flags: []string{"--from", relocated}, noNix: true},
		{name: "relocated, as root", flags: []string{"--from", relocated}, person: &lab.root},
		{name: "optimised", flags: []string{"--from", optimised, "--profile", lab.object}},
		{name: "nix copy", flags: []string{"--from", copied, "--profile", lab.object}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, dir := p, dir
			if tt.person != nil {
				p, dir = *tt.person, root
			}
			args := append(append([]string{"image"}, tt.flags...), "oci:layout:v1")
			cmd := p.command(dir, lab.program, args...)
			if tt.noNix { // a machine that has never seen it
				cmd = p.without("/nix", dir, lab.program, args...)
			}
			if tt.umask != "" {
				cmd = in("umask "+tt.umask, cmd)
			}
			if tt.stdin != nil {
				cmd.Stdin = tt.stdin(t)
			}
			if got := strings.TrimSpace(do(t, cmd).stdout); got != want {
				t.Errorf("%q prints %s; want that of the live store, %s", args, got, want)
			}
		})
	}
	wantEmptySpool(t, lab.user)
	wantEmptySpool(t, lab.root)
}

// isKept says whether a path in the cache is of what is remembered for the next run.
func isKept(path string) bool { return kept.MatchString(path) }

var kept = regexp.MustCompile(`^(CACHEDIR\.TAG|trimmed` +
	`|facts(/[0-9a-f]{64}\.[a-z0-9]+)?` +
	`|narinfo(/[0-9a-f]{32}(/[0-9a-z]{32}\.narinfo)?)?` +
	`|layers-1(/trimmed|/(parts|blobs)(/[0-9a-f]{64})?|/packed(/[0-9a-f]{64}\.[a-z0-9:]+)?)?)$`)

// wantEmptySpool says what runs of the person have left in the cache besides what it keeps.
func wantEmptySpool(t *testing.T, p person) {
	t.Helper()
	spool := filepath.Join(p.home, ".cache/export-profile")
	if _, err := os.Stat(spool); err != nil {
		return
	}
	if left := slices.DeleteFunc(names(t, spool), isKept); len(left) > 0 {
		t.Errorf("%q holds %q; want nothing", spool, left)
	}
}

// exportPipe is what nix-store --export writes of an object's closure, while it does.
func exportPipe(t *testing.T, object string) io.Reader {
	t.Helper()
	closure, _, err := queryClosure(object)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := nix("nix-store", append([]string{"--export"}, closure...)...)
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		r.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("nix-store --export: %v", err)
		}
	})
	return r
}

// exportFile is a file with what nix-store --export writes of an object's closure.
func exportFile(t *testing.T, object string) string {
	t.Helper()
	name := filepath.Join(lab.root.scratch(t), "export")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(f, exportPipe(t, object))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// relocate copies a store object's closure and the database to another root, as a backup does,
// with the object as the default profile there.
func relocate(t *testing.T, object string) string {
	t.Helper()
	root := lab.root.scratch(t)
	closure, _, err := queryClosure(object)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"nix/store", "nix/var/nix/db", "nix/var/nix/profiles"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	do(t, exec.Command("cp", append(append([]string{"-a", "--reflink=auto"}, closure...), filepath.Join(root, "nix/store"))...))
	for _, name := range []string{"db.sqlite", "schema"} {
		do(t, exec.Command("cp", "-a", "/nix/var/nix/db/"+name, filepath.Join(root, "nix/var/nix/db")))
	}
	if err := os.Symlink(object, filepath.Join(root, "nix/var/nix/profiles/default")); err != nil {
		t.Fatal(err)
	}
	return root
}

// nixCopy lets Nix itself copy a store object's closure to another root.
func nixCopy(t *testing.T, object string) string {
	t.Helper()
	root := lab.root.scratch(t)
	do(t, nix("nix", "copy", "--no-check-sigs", "--to", root, object))
	return root
}

func hasHardLinks(t *testing.T, dir string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		fi, err := d.Info()
		if err == nil && fi.Sys().(*syscall.Stat_t).Nlink > 1 {
			found = true
			return fs.SkipAll
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
