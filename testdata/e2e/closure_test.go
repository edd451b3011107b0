package e2e

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fields are the words of each line.
func fields(text string) [][]string {
	var lines [][]string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Fields(line))
	}
	return lines
}

// TestClosure: the same paths, sizes and order as Nix has.
func TestClosure(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	want := fields(do(t, nix("nix", "path-info", "-rsS", lab.object)).stdout)
	if len(want) != len(lab.closure) {
		t.Fatalf("nix path-info has %d lines; want %d", len(want), len(lab.closure))
	}
	for _, flags := range [][]string{{"--profile", lab.profile}, {"--from", exportFile(t, lab.object)}} {
		got := fields(p.export(t, dir, append([]string{"closure", "--bytes"}, flags...)...) + "\n")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("closure %q (-nix +export-profile):\n%s", flags, diff)
		}
	}

	// What it prints as JSON is as good as Nix's own for --references.
	digest := p.export(t, dir, "image", "--profile", lab.profile, "oci:layout:v1")
	for _, format := range []string{"1", "2"} {
		json := p.export(t, dir, "closure", "--json", "--json-format", format, "--profile", lab.profile)
		writeFile(t, dir+"/references", json)
		if got := p.export(t, dir, "image", "--from", exportFile(t, lab.object), "--references", "references", "oci:layout:v2"); got != digest {
			t.Errorf("with the JSON of closure, the image is %s; want %s", got, digest)
		}
	}
}

var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// TestWhy: the same chain as Nix draws, for every path of the closure.
func TestWhy(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	export := exportFile(t, lab.object)
	for _, to := range lab.closure {
		if to == lab.object {
			continue
		}
		r := do(t, exec.Command("sh", "-c", `exec "$@" 2>&1`, "sh", "nix", "--extra-experimental-features", "nix-command", "why-depends", lab.object, to))
		want := strings.TrimSpace(colours.ReplaceAllString(r.stdout, ""))
		got, _, ok := strings.Cut(p.export(t, dir, "why", "--from", export, "--profile", lab.object, to), "\nwithout it, ")
		if diff := cmp.Diff(want, got); diff != "" || !ok {
			t.Errorf("why %s (-nix +export-profile):\n%s", to, diff)
		}
	}
}
