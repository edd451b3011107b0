package e2e

import (
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestSources makes one image from all forms of one store: they have one digest.
func TestSources(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	want := p.export(t, dir, "image", "--profile", lab.profile, "oci:layout:live")
	check := func(how, got string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: digest %s; want that of the live store, %s", how, got, want)
		}
	}

	check("live store, as root", lab.root.export(t, lab.root.scratch(t), "image", "--profile", lab.profile, "oci:layout"))
	check("live store, verified", p.export(t, dir, "image", "--verify-store", "--profile", lab.object, "oci:verified"))
	check("live store, by base name", p.export(t, dir, "image", "--profile", filepath.Base(lab.object), "oci:base"))
	check("live store, $NIX_PROFILE", p.with("NIX_PROFILE="+lab.profile).export(t, dir, "image", "oci:environment"))
	for _, umask := range []string{"000", "077"} {
		r := do(t, in("umask "+umask, p.command(dir, lab.program, "image", "--profile", lab.profile, "oci:umask-"+umask)))
		check("live store, umask "+umask, strings.TrimSpace(r.stdout))
	}

	export := exportFile(t, lab.object)
	check("export file", p.export(t, dir, "image", "--from", export, "oci:file"))
	check("export pipe", p.exportFrom(t, exportPipe(t, lab.object), dir, "image", "--from", "-", "oci:pipe"))
	check("export pipe, named profile",
		p.exportFrom(t, exportPipe(t, lab.object), dir, "image", "--from", "-", "--profile", lab.object, "oci:pipe-profile"))
	registration := filepath.Join(dir, "registration")
	writeFile(t, registration, do(t, nix("nix-store", "--dump-db")).stdout)
	check("export file with references", p.export(t, dir, "image", "--from", export, "--references", registration, "oci:references"))

	// A machine that has never seen Nix.
	r := do(t, p.without("/nix", dir, lab.program, "image", "--from", export, "oci:no-nix"))
	check("export file, no Nix", strings.TrimSpace(r.stdout))

	copied := relocate(t, lab.object)
	check("relocated store", p.export(t, dir, "image", "--from", copied, "oci:relocated"))
	check("relocated store, no Nix",
		strings.TrimSpace(do(t, p.without("/nix", dir, lab.program, "image", "--from", copied, "oci:relocated-no-nix")).stdout))
	do(t, nix("nix-store", "--optimise", "--store", copied))
	if !hasHardLinks(t, filepath.Join(copied, "nix/store")) {
		t.Fatal("nix-store --optimise made no hard links; it tests nothing")
	}
	check("optimised store", p.export(t, dir, "image", "--from", copied, "oci:optimised"))

	// What Nix copies itself is as good.
	nixCopy := lab.root.scratch(t)
	do(t, nix("nix", "copy", "--no-check-sigs", "--to", nixCopy, lab.object))
	check("nix copy", p.export(t, dir, "image", "--from", nixCopy, "--profile", filepath.Base(lab.object), "oci:copied"))

	// Reading leaves nothing behind.
	wantEmptySpool(t, p)
}

// wantEmptySpool says what runs of the person have left where large temporary files go.
func wantEmptySpool(t *testing.T, p person) {
	t.Helper()
	spool := filepath.Join(p.home, ".cache/export-profile")
	if _, err := os.Stat(spool); err != nil {
		return
	}
	if left := names(t, spool); len(left) > 0 {
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
