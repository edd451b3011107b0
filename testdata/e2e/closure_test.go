package e2e

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fields splits each line into words.
func fields(text string) [][]string {
	var lines [][]string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Fields(line))
	}
	return lines
}

// TestClosure checks that closure prints the same paths, sizes and order as Nix.
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

	// --references accepts the command's JSON like Nix's own.
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

// nixWhy runs nix why-depends. Nix draws a path in grey if it drew the path and its children before;
// nixWhy replaces the colour with the mark [...]. The target has no children, and so no mark.
func nixWhy(t *testing.T, args ...string) string {
	t.Helper()
	to := args[len(args)-1]
	args = append([]string{"-c", `exec "$@" 2>&1`, "sh", "nix", "--extra-experimental-features", "nix-command", "why-depends"}, args...)
	var all []string
	for line := range strings.Lines(do(t, exec.Command("sh", args...)).stdout) {
		text := strings.TrimRight(colours.ReplaceAllString(line, ""), "\n")
		if strings.Contains(line, "\x1b[38;5;244m") && !strings.HasSuffix(text, to) {
			text += " [...]"
		}
		all = append(all, text)
	}
	return strings.Join(all, "\n")
}

// TestWhy checks that why prints the same chains as Nix for every path of the closure, and the same files and bytes with the references.
func TestWhy(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	export := exportFile(t, lab.object)
	longest := make(map[string]int)
	for _, tt := range []struct{ flags, from []string }{
		{nil, []string{"--from", export, "--profile", lab.object}},
		{[]string{"--all"}, []string{"--profile", lab.profile}},
		{[]string{"--precise"}, []string{"--profile", lab.profile}},
		{[]string{"--all", "--precise"}, []string{"--profile", lab.profile}},
	} {
		name := strings.Join(tt.flags, " ")
		for i, to := range lab.closure {
			if to == lab.object || len(tt.flags) == 2 && i%6 != 0 { // each run reads all files
				continue
			}
			want := nixWhy(t, append(slices.Clone(tt.flags), lab.object, to)...)
			args := slices.Concat([]string{"why"}, tt.from, tt.flags, []string{to})
			got, _, ok := strings.Cut(p.export(t, dir, args...), "\nwithout it, ")
			for _, path := range lab.closure { // Nix calls an object that is a single file "/"
				got = strings.ReplaceAll(got, "───"+filepath.Base(path)+": ", "───/: ")
			}
			if diff := cmp.Diff(want, got); diff != "" || !ok {
				t.Errorf("why %s %s (-nix +export-profile):\n%s", name, to, diff)
			}
			longest[name] = max(longest[name], strings.Count(want, "\n"))
		}
	}
	// Make sure that there was something to compare.
	if longest["--all"] <= longest[""] || longest["--precise"] <= longest[""] || longest["--all --precise"] <= longest["--all"] {
		t.Errorf("the longest outputs have %v lines; want more", longest)
	}
}
