package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// completionScript writes the script of a shell to a file.
func completionScript(t *testing.T, shell string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if status := run(t.Context(), []string{"completion", shell}, terminal{out: &out, err: &errs}); status != 0 {
		t.Fatalf("completion %s exits with %d: %s", shell, status, &errs)
	}
	name := filepath.Join(t.TempDir(), "completion")
	if err := os.WriteFile(name, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestCompleteBash sources the script and completes the last word, split as readline does.
func TestCompleteBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	script := completionScript(t, "bash")
	complete := func(t *testing.T, words ...string) []string {
		t.Helper()
		c := exec.Command(bash, append([]string{"--norc", "-uc", `source "$1"; shift
			COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _export_profile; printf '%s\n' "${COMPREPLY[@]}"`, "bash", script, "export-profile"}, words...)...)
		var errs bytes.Buffer
		c.Stderr = &errs
		out, err := c.Output()
		if err != nil || errs.Len() > 0 {
			t.Fatalf("complete %q: %v: %s", words, err, &errs)
		}
		return strings.Fields(string(out))
	}
	for _, tt := range []struct{ words, want []string }{
		{[]string{"im"}, []string{"image"}},
		{[]string{"c"}, []string{"closure", "check", "cache", "completion"}},
		{[]string{"./root"}, nil},
		{[]string{"image", "--compr"}, []string{"--compression"}},
		{[]string{"image", "--compression", ""}, []string{"none", "gzip", "zstd", "zstd:chunked"}},
		{[]string{"image", "--compression", "=", "z"}, []string{"zstd", "zstd:chunked"}},
		{[]string{"image", "--compression", "="}, []string{"none", "gzip", "zstd", "zstd:chunked"}},
		{[]string{"image", "--compression", "zstd", ":"}, []string{"chunked"}},
		{[]string{"image", "--compression", "zstd", ":", "ch"}, []string{"chunked"}},
		{[]string{"image", "--compression", "=", "zstd", ":", "ch"}, []string{"chunked"}},
		{[]string{"image", "--compression", "gzip", ":", ""}, nil},
		{[]string{"image", "--from", "oci", ":", "d"}, nil},
		{[]string{"image", "oci", ":", "x"}, nil},
		{[]string{"image", "oci", ":"}, nil},
		{[]string{"image", "--from", ""}, nil},
		{[]string{"image", "--from", "x", "oci"}, []string{"oci-archive:", "oci:"}},
		{[]string{"image", "-q", "--check", "do"}, []string{"docker-archive:", "docker://"}},
		{[]string{"image", "--platform", ""}, nil},
		{[]string{"closure", "--sort", "s"}, []string{"size"}},
		{[]string{"closure", "--json-format", ""}, []string{"1", "2"}},
		{[]string{"closure", ""}, nil},
		{[]string{"ls", "--wri"}, nil},
		{[]string{"rootfs", "--wri"}, []string{"--writable"}},
		{[]string{"cache", ""}, []string{"prune", "verify"}},
		{[]string{"verify", "docker-"}, []string{"docker-archive:"}},
		{[]string{"help", "wh"}, []string{"why"}},
		{[]string{"completion", ""}, []string{"bash", "zsh", "fish"}},
		{[]string{"nothing", "--"}, nil},
	} {
		got := complete(t, tt.words...)
		slices.Sort(got)
		slices.Sort(tt.want)
		if !slices.Equal(got, tt.want) {
			t.Errorf("complete %q = %q; want %q", tt.words, got, tt.want)
		}
	}
	for _, c := range completedCommands() {
		want := []string{}
		for _, f := range c.flags {
			want = append(want, "--"+f.name)
		}
		if d := cmp.Diff(want, append([]string{}, complete(t, c.name, "--")...)); d != "" {
			t.Errorf("flags of %s (-want +completed):\n%s", c.name, d)
		}
	}
}

// TestCompleteOthers checks that the other shells can read their scripts, and that fish completes a line.
func TestCompleteOthers(t *testing.T) {
	for _, shell := range []string{"zsh", "fish"} {
		script := completionScript(t, shell)
		t.Run(shell, func(t *testing.T) {
			program, err := exec.LookPath(shell)
			if err != nil {
				t.Skip(err)
			}
			if out, err := exec.Command(program, "-n", script).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%s -n: %v: %s", shell, err, out)
			}
			if shell != "fish" {
				return
			}
			out, err := exec.Command(program, "-N", "-c", "source "+strconv.Quote(script)+"; complete -C 'export-profile image --compression '").Output()
			var got []string
			for line := range strings.Lines(string(out)) {
				word, _, _ := strings.Cut(line, "\t") // without its description
				got = append(got, word)
			}
			if slices.Sort(got); err != nil || !slices.Equal(got, []string{"gzip", "none", "zstd", "zstd:chunked"}) {
				t.Errorf("complete = %q, %v; want the compressions", got, err)
			}
		})
	}
}
