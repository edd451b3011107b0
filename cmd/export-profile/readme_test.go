package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile/storetest"
)

// manualName is the README with the tables that are made from the flag sets.
const manualName = "cmd/export-profile/README.md"

// readmes lists the README files whose shown output is tested. The first is the project's own.
var readmes = []string{"README.md", manualName, "profile/README.md", "ocilayout/README.md", "testdata/bench/README.md"}

func repository(t *testing.T) string {
	t.Helper()
	return filepath.Dir(storetest.File(t, ""))
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestReadmeOutput checks that each console block of a README shows what its commands print on standard output.
// The commands of a block run one after the other in one directory, as they would in the repository.
func TestReadmeOutput(t *testing.T) {
	dir := repository(t)
	command := regexp.MustCompile(`(?m)^\$ (.*)\n((?:[^$].*\n)*)`)
	blocks := 0
	for _, name := range readmes {
		for _, b := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(readFile(t, filepath.Join(dir, name)), -1) {
			blocks++
			work := t.TempDir()
			if err := os.Symlink(filepath.Join(dir, "testdata"), filepath.Join(work, "testdata")); err != nil {
				t.Fatal(err)
			}
			shown := command.FindAllStringSubmatch(b[1], -1)
			if len(shown) == 0 {
				t.Errorf("%s shows output without a command: %s", name, b[1])
			}
			for _, c := range shown {
				line := strings.ReplaceAll(c[1], "go run ./cmd/export-profile", "export-profile")
				if !strings.Contains(line, "export-profile") {
					t.Errorf("%s shows the output of %q, which does not run export-profile", name, line)
				}
				cmd := exec.Command("sh", "-eu", "-c", line) // testscript.Main has put export-profile there
				cmd.Dir = work
				out, err := cmd.Output()
				if err != nil || string(out) != c[2] {
					t.Errorf("%s: %s prints %q, %v; the README shows %q", name, c[1], out, err, c[2])
				}
			}
		}
	}
	if blocks < 5 {
		t.Errorf("the READMEs show %d blocks of output; want at least 5", blocks)
	}
}

// TestReadmeLength checks that the README can be read in one go. The manuals have the rest.
func TestReadmeLength(t *testing.T) {
	if n := strings.Count(readFile(t, filepath.Join(repository(t), readmes[0])), "\n"); n > 250 {
		t.Errorf("README.md has %d lines; want at most 250", n)
	}
}

// TestReadmeLinks checks that relative links in the READMEs lead to files, and links to chapters to chapters.
func TestReadmeLinks(t *testing.T) {
	dir := repository(t)
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, name := range readmes {
		for _, m := range link.FindAllStringSubmatch(readFile(t, filepath.Join(dir, name)), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			to, anchor, _ := strings.Cut(m[1], "#")
			file := filepath.Join(dir, name)
			if to != "" {
				file = filepath.Join(dir, filepath.Dir(name), to)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %q: %v", name, m[1], err)
				continue
			}
			if anchor != "" && !hasAnchor(readFile(t, file), anchor) {
				t.Errorf("%s links to %q: there is no such heading", name, m[1])
			}
		}
	}
}

// hasAnchor reports whether a heading of a Markdown file has an anchor, as GitHub makes them.
func hasAnchor(text, anchor string) bool {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		slug := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		if strings.ReplaceAll(slug, " ", "-") == anchor {
			return true
		}
	}
	return false
}

// TestManualTables checks the manual's tables against the program's own texts, and its first steps against the transcripts
// that the end-to-end tests repeat. -update writes them.
func TestManualTables(t *testing.T) {
	name := filepath.Join(repository(t), manualName)
	text := readFile(t, name)
	want := text
	tables := map[string]string{
		"commands": commandTable(), "flags": flagTable(), "exit statuses": exitTable(), "environment": environmentTable(), "files": filesTable(),
	}
	for _, person := range []string{"nix", "dockerfile", "export"} {
		tables["first steps: "+person] = "```text\n" + readFile(t, filepath.Join(repository(t), "testdata/e2e/firststeps", person+".txt")) + "```\n"
	}
	for table, content := range tables {
		begin, end := fmt.Sprintf("<!-- begin %s, written by go test -update -->\n", table), fmt.Sprintf("<!-- end %s -->\n", table)
		before, rest, ok := strings.Cut(want, begin)
		_, after, closed := strings.Cut(rest, end)
		if !ok || !closed {
			t.Fatalf("%s has no lines %q and %q", manualName, begin, end)
		}
		want = before + begin + content + end + after
	}
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(text, want); d != "" {
		t.Errorf("%s differs from the flags; go test ./cmd/export-profile -run TestManualTables -update writes it (-file +flags):\n%s", manualName, d)
	}
}

// cell escapes a text for a cell of a Markdown table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`).Replace(text)
}

// code formats a text as code in a cell.
func code(text string) string { return "`" + strings.ReplaceAll(text, "|", `\|`) + "`" }

func commandTable() string {
	var b strings.Builder
	b.WriteString("| command | |\n|---|---|\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "| %s | %s |\n", code(strings.TrimSpace(c.name+" "+c.args)), cell(c.summary))
	}
	return b.String()
}

func flagTable() string {
	var b strings.Builder
	all := allFlags()
	for i, d := range all {
		if i == 0 || all[i-1].group != d.group {
			heading := flagGroups[d.group].heading
			fmt.Fprintf(&b, "\n### %s%s\n\n| flag | commands | |\n|---|---|---|\n", strings.ToUpper(heading[:1]), heading[1:])
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", code(d.term()), strings.Join(d.commands, ", "), cell(d.usage))
	}
	return b.String() + "\n"
}

func exitTable() string {
	var b strings.Builder
	b.WriteString("| status | |\n|---|---|\n")
	for _, e := range exitStatuses {
		fmt.Fprintf(&b, "| %s | %s |\n", e.status, cell(e.meaning))
	}
	return b.String()
}

func environmentTable() string {
	var b strings.Builder
	b.WriteString("| variables | |\n|---|---|\n")
	for _, e := range helpEnvironment {
		fmt.Fprintf(&b, "| %s | %s |\n", code(e.names), cell(e.meaning))
	}
	return b.String()
}

func filesTable() string {
	var b strings.Builder
	b.WriteString("| files | |\n|---|---|\n")
	for _, f := range helpFiles {
		fmt.Fprintf(&b, "| %s | %s |\n", code(f.names), cell(f.meaning))
	}
	return b.String()
}

// TestReadmePackages checks that the README's list names every package, and that every package has a comment.
func TestReadmePackages(t *testing.T) {
	dir := repository(t)
	listed := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^    ([a-z][a-z/0-9-]*)  +\S`).FindAllStringSubmatch(readFile(t, filepath.Join(dir, readmes[0])), -1) {
		listed[m[1]] = true
	}
	cmd := exec.Command("go", "list", "-f", "{{.ImportPath}}\t{{if .GoFiles}}{{.Doc}}{{else}}tests only{{end}}", "./...", "./testdata/bench", "./testdata/e2e")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		path, comment, _ := strings.Cut(strings.TrimSpace(line), "\t")
		name := strings.TrimPrefix(path, module+"/")
		if !listed[name] {
			t.Errorf("the list of packages in README.md lacks %s", name)
		}
		if comment == "" {
			t.Errorf("package %s has no comment", name)
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("README.md lists %s, which is not a package", name)
	}
}
