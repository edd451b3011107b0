package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile"
)

// scanned builds the packages of scanned.nix, and returns the one that needs them all, and their metadata.
func scanned(t *testing.T) (root, metadata string) {
	t.Helper()
	root = strings.TrimSpace(do(t, nix("nix-build", "scanned.nix", "-A", "scanned", "--out-link", filepath.Join(lab.dir, "store", "scanned"))).stdout)
	return root, evaluate(t, "(import ./scanned.nix).scanned")
}

// scanner returns a person for whom scanners ask no server, and read a database for grype.
func scanner(database string) person {
	return lab.user.with("SYFT_CHECK_FOR_APP_UPDATE=false", "GRYPE_CHECK_FOR_APP_UPDATE=false",
		"GRYPE_DB_AUTO_UPDATE=false", "GRYPE_DB_VALIDATE_AGE=false", "GRYPE_DB_CACHE_DIR="+database)
}

// packagesIn parses the JSON of syft, and returns the packages as "name version", sorted,
// and the store paths where its nix-cataloger found some. syft says UNKNOWN for a version that an SBOM leaves out.
func packagesIn(t *testing.T, r result) (names, paths []string) {
	t.Helper()
	var doc struct {
		Artifacts []struct {
			Name, Version, FoundBy string
			Metadata               struct{ Path string }
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &doc); err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	for _, a := range doc.Artifacts {
		names = append(names, a.Name+" "+strings.TrimSuffix(a.Version, "UNKNOWN"))
		if a.FoundBy == "nix-cataloger" {
			paths = append(paths, a.Metadata.Path)
		}
	}
	slices.Sort(names)
	slices.Sort(paths)
	return names, paths
}

// namesOf returns the names of store paths as "name version", sorted. If asked, it leaves out those without a version.
func namesOf(closure []string, versions bool) (names []string) {
	for _, path := range closure {
		name, version := profile.SplitName(profile.Path(path).Name())
		if version != "" || !versions {
			names = append(names, name+" "+version)
		}
	}
	slices.Sort(names)
	return names
}

// TestSyft checks that syft finds each store path once, in images and in their SBOMs.
func TestSyft(t *testing.T) {
	syft, p := goTool(t, "syft"), scanner("")
	dir := p.scratch(t)
	root, metadata := scanned(t)
	writeFile(t, filepath.Join(dir, "metadata.json"), metadata)
	closure, _, err := queryClosure(root)
	if err != nil {
		t.Fatal(err)
	}
	image := func(from string, args ...string) {
		p.export(t, dir, slices.Concat([]string{"image", "--quiet", "--platform", "linux/amd64", "--profile", from}, args)...)
	}
	image(root, "--sbom", "spdx", "--sbom", "cyclonedx", "oci:image")
	image(root, "--sbom", "spdx", "--sbom", "cyclonedx", "--metadata", "metadata.json", "oci-archive:image.tar")
	image(root, "--sbom-in-image", "spdx", "--metadata", "metadata.json", "oci:in")
	image(root, "--sbom-in-image", "cyclonedx", "--with-nix-db", "oci:in-cdx")
	image(lab.object, "--sbom", "spdx", "--sbom", "cyclonedx", "--compression", "zstd", "oci:large")
	once, all := namesOf(closure, true), namesOf(closure, false)
	twice := slices.Sorted(slices.Values(slices.Concat(all, all)))
	const only = "--override-default-catalogers=sbom-cataloger"
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"scan", "oci-dir:image"}, once},
		{[]string{"scan", "oci-archive:image.tar"}, once},
		{[]string{"scan", "oci-dir:in"}, once}, // syft reads no SBOMs in images by default
		{[]string{"scan", "oci-dir:in", "--select-catalogers=+sbom-cataloger"}, twice},
		{[]string{"scan", "oci-dir:in", only}, all},
		{[]string{"scan", "oci-dir:in-cdx", only}, all},
		{[]string{"scan", "oci-dir:in-cdx"}, once}, // from Nix's database
		{[]string{"convert", "image.spdx.json"}, all},
		{[]string{"convert", "image.cdx.json"}, all},
		{[]string{"convert", "image.tar.spdx.json"}, all},
		{[]string{"convert", "image.tar.cdx.json"}, all},
		{[]string{"convert", "large.spdx.json"}, namesOf(lab.closure, false)},
		{[]string{"convert", "large.cdx.json"}, namesOf(lab.closure, false)},
	} {
		r := do(t, p.command(dir, syft, append(tt.args, "-q", "-o", "json")...))
		got, _ := packagesIn(t, r)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("syft %q (-want +got):\n%s", tt.args, diff)
		}
	}
	// In an image with programs it finds some packages by their bytes, too, and splits versions such as Debian's in its own way.
	_, paths := packagesIn(t, do(t, p.command(dir, syft, "scan", "oci-dir:large", "-q", "-o", "json")))
	want := slices.DeleteFunc(slices.Sorted(slices.Values(lab.closure)), func(path string) bool {
		_, version := profile.SplitName(profile.Path(path).Name())
		return version == ""
	})
	if diff := cmp.Diff(want, paths); diff != "" || len(paths) < 30 {
		t.Errorf("syft finds %d store paths (-want +got):\n%s", len(paths), diff)
	}
}

// flaw is a vulnerability in grype's database, of versions below 99.
type flaw struct{ ID, Vendor, Product, Ecosystem, Name, Below string }

// writeDatabase writes a database for grype, with a flaw for each CPE in metadata, and one of an npm package.
// It returns what each flaw is in, by its ID.
func writeDatabase(t *testing.T, p person, dir, metadata string) (flaws map[string]string) {
	t.Helper()
	var file struct {
		Packages map[string]struct{ CPEs []string }
	}
	if err := json.Unmarshal([]byte(metadata), &file); err != nil {
		t.Fatal(err)
	}
	all := []flaw{{ID: "GHSA-2099-2099-2099", Ecosystem: "npm", Name: "semver", Below: "99"}}
	flaws = map[string]string{all[0].ID: "semver, npm"}
	for _, pkg := range file.Packages {
		for _, cpe := range pkg.CPEs {
			words := strings.Split(cpe, ":")
			f := flaw{ID: fmt.Sprintf("CVE-2099-%04d", len(all)), Vendor: words[3], Product: words[4], Below: "99"}
			all = append(all, f)
			flaws[f.ID] = f.Vendor + ":" + f.Product
		}
	}
	input, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	run := p.command(dir, grypeDB(t), "6")
	run.Stdin = strings.NewReader(string(input))
	do(t, run)
	return flaws
}

// grypeDB builds the program that writes databases, in grype's module, and returns its file. The program is kept for later runs.
func grypeDB(t *testing.T) string {
	t.Helper()
	module := filepath.Dir(goTool(t, "grype"))
	source, err := os.ReadFile("grypedb.go.txt") // a .go file would need grype in our go.mod
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("grypedb-%.4x", sha256.Sum256(source))
	program := filepath.Join(module, name, "grypedb")
	if _, err := os.Stat(program); err == nil {
		return program
	}
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(module, name, "main.go"), string(source))
	build := exec.Command("go", "build", "-o", program+".new", "./"+name)
	build.Dir, build.Env = module, append(os.Environ(), "CGO_ENABLED=0")
	if _, err := output(build); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(program+".new", program); err != nil {
		t.Fatal(err)
	}
	return program
}

// TestGrype checks what grype matches in an image and in its SBOMs, without metadata and with it.
// The manual has the table.
func TestGrype(t *testing.T) {
	grype := goTool(t, "grype")
	dir := lab.user.scratch(t)
	p := scanner(dir)
	root, metadata := scanned(t)
	writeFile(t, filepath.Join(dir, "metadata.json"), metadata)
	flaws := writeDatabase(t, p, dir, metadata)
	p.export(t, dir, "image", "--platform", "linux/amd64", "--profile", root, "--sbom", "spdx", "--sbom", "cyclonedx", "oci:plain")
	p.export(t, dir, "image", "--platform", "linux/amd64", "--profile", root, "oci-archive:a.tar")
	p.export(t, dir, "image", "--platform", "linux/amd64", "--profile", root, "--sbom", "spdx", "--sbom", "cyclonedx",
		"--sbom-in-image", "spdx", "--metadata", "metadata.json", "oci:known")

	matches := func(r result) map[string]string { // by package
		t.Helper()
		var doc struct {
			Matches []struct {
				Vulnerability struct{ ID string }
				Artifact      struct{ Name string }
			}
		}
		if err := json.Unmarshal([]byte(r.stdout), &doc); err != nil {
			t.Fatalf("%v: %v", r, err)
		}
		found := make(map[string][]string)
		for _, m := range doc.Matches {
			found[m.Artifact.Name] = append(found[m.Artifact.Name], flaws[m.Vulnerability.ID])
		}
		joined := make(map[string]string)
		for name, list := range found {
			slices.Sort(list)
			joined[name] = strings.Join(list, "; ")
		}
		return joined
	}
	scan := func(source string) map[string]string {
		t.Helper()
		return matches(do(t, p.command(dir, grype, source, "-q", "-o", "json")))
	}
	plain, image := scan("sbom:plain.spdx.json"), scan("oci-dir:plain")
	known := scan("sbom:known.spdx.json")
	var table strings.Builder
	table.WriteString("| package | in the image | in its SBOM | in its SBOM with `--metadata` |\n|---|---|---|---|\n")
	dash := func(s string) string {
		if s == "" {
			return "–"
		}
		return s
	}
	for _, name := range strings.Fields("coreutils curl glibc krb5 libxml2 nghttp2 openssl python3 semver zlib") {
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", name, dash(image[name]), dash(plain[name]), dash(known[name]))
	}
	manual, err := os.ReadFile(filepath.Join(lab.repo, "cmd/export-profile/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(manual), table.String()) {
		t.Errorf("the manual lacks this table:\n%s", table.String())
	}
	for source, want := range map[string]map[string]string{
		"oci-archive:a.tar":   image,
		"sbom:plain.cdx.json": plain,
		"sbom:known.cdx.json": known,
		"oci-dir:known":       image, // grype reads no SBOM in an image by default
	} {
		if diff := cmp.Diff(want, scan(source)); diff != "" {
			t.Errorf("grype %s (-want +got):\n%s", source, diff)
		}
	}
	// The manual's command makes it read that SBOM.
	pipe := `"$1" scan -q --override-default-catalogers sbom-cataloger oci-dir:known -o json | "$2" -q -o json`
	if diff := cmp.Diff(known, matches(do(t, p.command(dir, "sh", "-c", pipe, "sh", goTool(t, "syft"), grype)))); diff != "" {
		t.Errorf("grype of syft's packages from the SBOM in the image (-want +got):\n%s", diff)
	}
}
