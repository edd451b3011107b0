package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/export-profile/export-profile"

// ownImports lists, for each package of this module, the other packages of it that it may import.
// A package comes after those that it imports. The picture is in the README.
var ownImports = map[string][]string{
	"rootfs/testrun":          {},
	"rootfs/staging":          {},
	"rootfs/internal/codec":   {},
	"rootfs":                  {"rootfs/internal/codec", "rootfs/staging"},
	"rootfs/rootfstest":       {"rootfs"},
	"rootfs/base":             {"rootfs", "rootfs/internal/codec"},
	"rootfs/overlay":          {"rootfs", "rootfs/staging"},
	"rootfs/startup":          {"rootfs"},
	"profile/nix32":           {},
	"profile":                 {"profile/nix32", "rootfs"},
	"profile/nar":             {"profile", "rootfs"},
	"profile/casehack":        {"profile", "profile/nar", "rootfs"},
	"profile/references":      {"profile", "profile/nar", "rootfs"},
	"profile/decompress/lzma": {},
	"profile/decompress/lzip": {"profile/decompress/lzma"},
	"profile/decompress/xz":   {"profile/decompress/lzma"},
	"profile/decompress":      {"profile/decompress/lzip", "profile/decompress/lzma", "profile/decompress/xz"},
	"profile/trust/guix":      {},
	"profile/trust":           {"profile", "profile/nar", "profile/nix32", "profile/trust/guix", "rootfs"},
	"profile/input":           {"profile/decompress", "rootfs/staging"},
	"profile/sqlite":          {},
	"profile/localstore":      {"profile", "profile/casehack", "profile/nar", "profile/sqlite", "rootfs"},
	"profile/exportstore":     {"profile", "profile/decompress", "profile/input", "profile/nar", "profile/trust/guix", "rootfs"},
	"profile/binarycache":     {"profile", "profile/decompress", "profile/nar", "profile/trust/guix", "rootfs", "rootfs/staging"},
	"profile/nixdb":           {"profile", "profile/sqlite", "rootfs"},
	"profile/sbom":            {"profile"},
	"profile/sbom/sbomtest":   {},
	"profile/scan":            {"profile", "profile/nar", "profile/nix32", "rootfs"},
	"profile/attestation":     {"profile", "profile/nar", "profile/scan", "profile/trust", "rootfs"},
	"profile/tarstore":        {"profile", "profile/casehack", "profile/input", "profile/nar", "profile/scan", "rootfs"},
	"profile/storetest":       {"profile", "profile/input", "profile/nar", "profile/nix32", "profile/references", "rootfs", "rootfs/staging", "rootfs/testrun"},
	"profile/source": {
		"profile", "profile/binarycache", "profile/casehack", "profile/decompress", "profile/exportstore", "profile/input", "profile/localstore",
		"profile/references", "profile/scan", "profile/tarstore", "profile/trust", "rootfs/staging",
	},
	"ocilayout/chunked":                  {},
	"ocilayout/compress":                 {"ocilayout/chunked"},
	"ocilayout/history":                  {"rootfs"},
	"ocilayout/plan":                     {"ocilayout/history", "rootfs"},
	"ocilayout/plan/plantest":            {"ocilayout/history", "rootfs"},
	"ocilayout":                          {"ocilayout/chunked", "ocilayout/compress", "ocilayout/history", "ocilayout/plan", "rootfs", "rootfs/staging"},
	"ocilayout/verify":                   {"ocilayout", "ocilayout/chunked", "ocilayout/compress", "ocilayout/history", "rootfs"},
	"ocilayout/registry":                 {"ocilayout", "ocilayout/compress"},
	"cmd/export-profile/internal/report": {"rootfs"},
	"cmd/export-profile/internal/manual": {},
	"cmd/export-profile": {
		"cmd/export-profile/internal/report", "cmd/export-profile/internal/manual",
		"profile", "profile/attestation", "profile/decompress", "profile/exportstore", "profile/localstore", "profile/nar", "profile/nixdb",
		"profile/sbom", "profile/scan", "profile/source", "profile/trust",
		"rootfs", "rootfs/base", "rootfs/overlay", "rootfs/staging", "rootfs/startup",
		"ocilayout", "ocilayout/compress", "ocilayout/history", "ocilayout/plan", "ocilayout/registry", "ocilayout/verify",
	},
}

// foreignImports lists, for each package, the modules or packages of others that it may import.
// Every package may import the standard library and golang.org/x/sys.
var foreignImports = map[string][]string{
	"profile/decompress": {
		"github.com/klauspost/compress", "github.com/andybalholm/brotli", "github.com/pierrec/lz4/v4",
	},
	"profile/attestation":   {"github.com/secure-systems-lab/go-securesystemslib/encrypted"}, // cosign's encrypted keys
	"profile/sbom":          {"github.com/spdx/tools-golang/spdx/v2", "github.com/CycloneDX/cyclonedx-go"},
	"profile/sbom/sbomtest": {"github.com/santhosh-tekuri/jsonschema/v6"},
	"profile/storetest": { // writes what the others read
		"github.com/google/go-cmp", "github.com/klauspost/compress", "github.com/andybalholm/brotli",
		"github.com/pierrec/lz4/v4", "zombiezen.com/go/sqlite",
	},
	"ocilayout/chunked": {"github.com/klauspost/compress", "github.com/opencontainers/go-digest"},
	"ocilayout/compress": {
		"github.com/klauspost/compress", "github.com/opencontainers/go-digest", "github.com/opencontainers/image-spec",
	},
	"ocilayout/history": {"github.com/opencontainers/image-spec"},
	"ocilayout": {
		"github.com/opencontainers/umoci/oci/cas", "github.com/opencontainers/umoci/oci/casext",
		"github.com/opencontainers/go-digest", "github.com/opencontainers/image-spec",
		"github.com/distribution/reference", "golang.org/x/sync",
	},
	"ocilayout/verify": {
		"github.com/opencontainers/go-digest", "github.com/opencontainers/image-spec", "golang.org/x/sync",
	},
	"ocilayout/registry": {
		"oras.land/oras-go/v2", "github.com/distribution/reference", "golang.org/x/sync",
		"github.com/opencontainers/go-digest", "github.com/opencontainers/image-spec",
	},
	"cmd/export-profile": {
		"github.com/spf13/pflag", "github.com/schollz/progressbar/v3", "golang.org/x/term",
		"github.com/opencontainers/image-spec", "go.yaml.in/yaml/v3",
	},
}

// TestImports checks that each package imports what the tables above allow for it, and all of that.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Standard", module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		allowed, ok := ownImports[name]
		if !ok {
			t.Errorf("ownImports lacks package %s", name)
			continue
		}
		seen++
		for _, own := range allowed {
			if !slices.Contains(p.Imports, module+"/"+own) {
				t.Errorf("%s may import %s, but does not", name, own)
			}
		}
		for _, foreign := range foreignImports[name] {
			if !slices.ContainsFunc(p.Imports, func(imported string) bool { return imported == foreign || strings.HasPrefix(imported, foreign+"/") }) {
				t.Errorf("%s may import %s, but does not", name, foreign)
			}
		}
		for _, imported := range p.Imports {
			own, isOwn := strings.CutPrefix(imported, module+"/")
			switch {
			case isOwn && slices.Contains(allowed, own):
			case isOwn:
				t.Errorf("%s imports %s", name, own)
			case !strings.Contains(strings.SplitN(imported, "/", 2)[0], "."): // the standard library
			case strings.HasPrefix(imported, "golang.org/x/sys/"):
			case slices.ContainsFunc(foreignImports[name], func(foreign string) bool {
				return imported == foreign || strings.HasPrefix(imported, foreign+"/")
			}):
			default:
				t.Errorf("%s imports %s, which foreignImports does not allow", name, imported)
			}
		}
	}
	for name := range foreignImports {
		if ownImports[name] == nil {
			t.Errorf("foreignImports has %s, which is not a package", name)
		}
	}
	if seen != len(ownImports) {
		t.Errorf("go list shows %d packages; ownImports has %d", seen, len(ownImports))
	}
}
