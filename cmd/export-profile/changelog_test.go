package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestChangelogDigests checks that the top entry of the changelog names the pinned digests that changed since the last release, and no others.
func TestChangelogDigests(t *testing.T) {
	dir := repository(t)
	pinned := make(map[string]bool)
	hash := regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != dir || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if ext := filepath.Ext(path); ext != ".txtar" && !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		for _, digest := range hash.FindAllString(string(b), -1) {
			pinned[digest] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	released := regexp.MustCompile(`(?m)^sha256:([0-9a-f]{64}) (\S+)$`).FindAllStringSubmatch(readFile(t, filepath.Join(dir, ".github/digests")), -1)
	if len(released) < 20 {
		t.Errorf(".github/digests has %d digests; want at least 20", len(released))
	}
	var changed []string
	for _, line := range released {
		if !pinned[line[1]] {
			changed = append(changed, line[2])
			t.Logf("no test pins sha256:%s any more, as .github/digests says of %s", line[1], line[2])
		}
	}
	slices.Sort(changed)
	named := changedDigests(readFile(t, filepath.Join(dir, ".github/CHANGELOG.md")))
	if diff := cmp.Diff(slices.Compact(changed), named); diff != "" {
		t.Errorf("pinned digests that changed since the last release (-tests +top entry of .github/CHANGELOG.md):\n%s", diff)
	}
}

// changedDigests returns the names of pinned digests in the top entry of a changelog, sorted.
func changedDigests(changelog string) []string {
	_, top, _ := strings.Cut(changelog, "\n## ")
	top, _, _ = strings.Cut(top, "\n## ")
	m := regexp.MustCompile(`(?m)^Pinned digests that changed: (.*)\.$`).FindStringSubmatch(top)
	if m == nil {
		return nil
	}
	names := strings.Split(m[1], ", ")
	slices.Sort(names)
	return names
}

// TestChangedDigests checks that only the top entry counts.
func TestChangedDigests(t *testing.T) {
	const old = "\n## v1.0.0\n\nPinned digests that changed: old.\n"
	for in, want := range map[string][]string{
		"# Changelog\n" + old:                         {"old"},
		"# Changelog\n\n## Unreleased\n\n- x\n" + old: nil,
		"# Changelog\n\n## Unreleased\n\nPinned digests that changed: hello, gzip.\n\n### New\n" + old: {"gzip", "hello"},
	} {
		if diff := cmp.Diff(want, changedDigests(in)); diff != "" {
			t.Errorf("changedDigests(%q) (-want +got):\n%s", in, diff)
		}
	}
}
