package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestVendorHash checks the hash of all dependencies in the Nix package. nixpkgs' buildGoModule requires it
// of what go mod vendor writes. -update writes it after a change of go.mod or go.sum.
func TestVendorHash(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("go", "mod", "vendor", "-o", filepath.Join(dir, "00000000000000000000000000000000-vendor"))
	cmd.Dir = repository(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
	var closure struct {
		Info map[string]struct{ NarHash string }
	}
	if err := json.Unmarshal([]byte(succeed(t, "", "closure", "--no-cache", "--json", "--from", dir)), &closure); err != nil {
		t.Fatal(err)
	}
	var hash string
	for _, info := range closure.Info {
		hash = info.NarHash
	}
	name := filepath.Join(repository(t), ".github/nix/package.nix")
	line := regexp.MustCompile(`vendorHash = "(.*)";`)
	text := readFile(t, name)
	m := line.FindStringSubmatch(text)
	switch {
	case m == nil || hash == "":
		t.Fatalf("%s has the hash %q, and the modules have %q; want two hashes", name, m, hash)
	case m[1] == hash:
	case *update:
		if err := os.WriteFile(name, []byte(line.ReplaceAllString(text, `vendorHash = "`+hash+`";`)), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s has vendorHash = %q; want %q; go test ./cmd/export-profile -run TestVendorHash -update writes it", name, m[1], hash)
	}
}
