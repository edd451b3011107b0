package e2e

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// build builds an attribute of references.nix for an object.
func build(t *testing.T, attribute, object string, options ...string) string {
	t.Helper()
	args := append([]string{"references.nix", "-A", attribute, "--argstr", "object", object,
		"--argstr", "program", lab.program, "--no-out-link"}, options...)
	return strings.TrimSpace(do(t, nix("nix-build", args...)).stdout)
}

// copyObjects copies an object's closure to another root, without a database.
func copyObjects(t *testing.T, object string) (root string) {
	t.Helper()
	root = lab.root.scratch(t)
	store := filepath.Join(root, "nix/store")
	do(t, exec.Command("mkdir", "-p", store))
	do(t, exec.Command("cp", append(append([]string{"-a", "--reflink=auto"}, closureOf(t, object)...), store)...))
	return root
}

// TestReferences checks stores without a database, with all kinds of reference files that Nix writes.
func TestReferences(t *testing.T) {
	root, texts := copyObjects(t, lab.object), lab.root.scratch(t)
	text := func(name string, command ...string) string {
		name = filepath.Join(texts, name)
		writeFile(t, name, do(t, nix(command[0], command[1:]...)).stdout)
		return name
	}
	from := []string{"--from", root}
	var forms []form
	for _, r := range []struct{ name, file string }{
		{"dump-db", text("dump-db", "nix-store", "--dump-db")},
		{"path-info", text("path-info", "nix", "path-info", "--json", "-r", lab.object)},
		{"path-info, sizes and signatures", text("path-info-more", "nix", "path-info", "--json", "-r", "-s", "-S", "--sigs", lab.object)},
		{"graph", build(t, "graph", lab.object)},
		{"attrs.json", build(t, "attrs", lab.object)},
		{"closureInfo", build(t, "closureInfo", lab.object) + "/registration"},
	} {
		copied := filepath.Join(texts, "copied-"+strings.ReplaceAll(r.name, " ", "-")) // outside /nix
		do(t, exec.Command("cp", r.file, copied))
		forms = append(forms, form{name: r.name, flags: append(from, "--references", copied), noNix: true})
	}
	dump := filepath.Join(texts, "dump-db")
	checkForms(t, lab.object, append(forms,
		form{name: "live", flags: []string{"--profile", lab.object, "--references", dump}},
		form{name: "store directory", flags: []string{"--from", root + "/nix/store", "--references", dump}, noNix: true},
		form{name: "as root", flags: append(from, "--references", dump), person: &lab.root},
	))
}

// TestScan checks stores without references: a scan must find those that Nix found.
func TestScan(t *testing.T) {
	root := copyObjects(t, lab.object)
	const says = "note: no database in "
	checkForms(t, lab.object, []form{
		{name: "root", flags: []string{"--from", root}, noNix: true, says: says},
		{name: "store directory", flags: []string{"--from", root + "/nix/store"}, noNix: true, says: says},
	})

	// A scan finds at least all registered references. If it finds no others, the image is the same.
	for _, o := range lab.objects {
		do(t, exec.Command("cp", append(append([]string{"-a"}, closureOf(t, o)...), root+"/nix/store")...))
	}
	for _, object := range []string{lab.object, lab.objects["odd"]} {
		p := lab.user
		dir := p.scratch(t)
		r := do(t, p.without("/nix", dir, lab.program, "rootfs", "--from", root, "--profile", object, "./tree"))
		found := objectsIn(t, filepath.Join(dir, "tree/nix/store"))
		want := make(map[string]bool)
		for _, path := range closureOf(t, object) {
			want[filepath.Base(path)] = true
		}
		for name := range want {
			if !found[name] {
				t.Errorf("%v\nwant %s in the root filesystem", r, name)
			}
		}
		digest := strings.TrimSpace(do(t, p.without("/nix", dir, lab.program,
			"image", "--no-cache", "--platform", "linux/amd64", "--from", root, "--profile", object, "oci:x")).stdout)
		if maps.Equal(found, want) != (digest == live(t, object)) {
			t.Errorf("the digest is %s and that of the live store %s, with %q and registered %q",
				digest, live(t, object), slices.Sorted(maps.Keys(found)), slices.Sorted(maps.Keys(want)))
		}
	}
}

// TestSandbox checks that export-profile works in a sandboxed build of Nix, where no database exists.
func TestSandbox(t *testing.T) {
	out := build(t, "image", lab.object, "--option", "sandbox", "true", "--option", "sandbox-fallback", "false")
	wantLayout(t, out, map[string]string{"v1": live(t, lab.object)})

	// Delete the result, so that the next run builds it again. Otherwise each version of the program would also leave one behind.
	deriver := strings.TrimSpace(do(t, nix("nix-store", "-q", "--deriver", out)).stdout)
	garbage := []string{"--delete", out, deriver}
	for _, p := range strings.Fields(do(t, nix("nix-store", "-q", "--references", deriver)).stdout) {
		if strings.HasSuffix(p, "-export-profile") {
			garbage = append(garbage, p)
		}
	}
	do(t, nix("nix-store", garbage...))
}

// objectsIn lists the names of a store directory's objects.
func objectsIn(t *testing.T, store string) map[string]bool {
	t.Helper()
	entries, err := os.ReadDir(store)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, e := range entries {
		names[e.Name()] = true
	}
	return names
}
