package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/profile/storetest"
)

func readme(t *testing.T) (text, dir string) {
	t.Helper()
	dir = filepath.Dir(storetest.File(t, ""))
	b, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b), dir
}

// TestReadmeOutput: what the README shows in console blocks is what its commands print on standard output,
// one after the other, as they would in the repository.
func TestReadmeOutput(t *testing.T) {
	text, dir := readme(t)
	blocks := regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(blocks) == 0 {
		t.Fatal("the README shows no output")
	}
	command := regexp.MustCompile(`(?m)^\$ (.*)\n((?:[^$].*\n)*)`)
	for _, b := range blocks {
		work := t.TempDir()
		if err := os.Symlink(filepath.Join(dir, "testdata"), filepath.Join(work, "testdata")); err != nil {
			t.Fatal(err)
		}
		shown := command.FindAllStringSubmatch(b[1], -1)
		if len(shown) == 0 {
			t.Errorf("README shows the output of no command: %s", b[1])
		}
		for _, c := range shown {
			line := strings.ReplaceAll(c[1], "go run ./cmd/export-profile", "export-profile")
			if !strings.Contains(line, "export-profile") {
				t.Errorf("README shows the output of %q, which is of no interest", line)
			}
			cmd := exec.Command("sh", "-eu", "-c", line) // testscript.Main has put export-profile there
			cmd.Dir = work
			out, err := cmd.Output()
			if err != nil || string(out) != c[2] {
				t.Errorf("%s prints %q, %v; the README shows %q", c[1], out, err, c[2])
			}
		}
	}
}

// TestReadmeFlags: the README's table has the flags that there are, once, with the same arguments
// and the commands that have them, and no others.
func TestReadmeFlags(t *testing.T) {
	text, _ := readme(t)
	type row struct {
		args string
		of   []string
	}
	documented := make(map[string]row)
	for _, cells := range regexp.MustCompile("(?m)^\\| `--([a-z-]+)(?: ([^`]*))?`[^|]* \\| ([^|]*) \\|").FindAllStringSubmatch(text, -1) {
		if _, ok := documented[cells[1]]; ok {
			t.Errorf("README has --%s twice", cells[1])
		}
		of := strings.Split(cells[3], ", ")
		slices.Sort(of)
		documented[cells[1]] = row{strings.ReplaceAll(cells[2], `\|`, "|"), of}
	}
	has := make(map[string][]string) // by flag
	for _, c := range commands() {
		fs := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
		c.setup(fs)
		fs.VisitAll(func(f *pflag.Flag) {
			is, ok := documented[f.Name]
			if name, _ := pflag.UnquoteUsage(f); !ok || is.args != name {
				t.Errorf("README has `--%s %s`; %s has `--%s %s`", f.Name, is.args, c.name, f.Name, name)
			}
			has[f.Name] = append(has[f.Name], c.name)
		})
	}
	for name, of := range has {
		slices.Sort(of)
		if d := cmp.Diff(of, documented[name].of); d != "" {
			t.Errorf("commands that have --%s (-have +README):\n%s", name, d)
		}
	}
	for name := range documented {
		if has[name] == nil {
			t.Errorf("README has --%s, which no command has", name)
		}
	}
}

// TestHelp: every help begins with examples, and its lines fit into a terminal.
func TestHelp(t *testing.T) {
	for _, c := range commands() {
		var out bytes.Buffer
		if status := run(t.Context(), []string{"help", c.name}, terminal{out: &out, err: &out}); status != 0 {
			t.Errorf("help %s exits with %d", c.name, status)
		}
		if !strings.HasPrefix(c.help, "examples:\n  ") {
			t.Errorf("help %s does not begin with examples", c.name)
		}
		for line := range strings.Lines(out.String()) {
			if len(line) > 120 {
				t.Errorf("help %s has a line of %d bytes: %s", c.name, len(line), line)
			}
		}
	}
}
