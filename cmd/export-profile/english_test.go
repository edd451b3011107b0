package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEnglish checks that code and documents avoid the words that CONTRIBUTING.md advises against.
func TestEnglish(t *testing.T) {
	avoid := regexp.MustCompile(`(?i)\b(who` + `ever|some` + `body|of ` + `which)\b|[^"]\bno` + `body( [a-z]+s\b| else| has| is| may| can)`)
	dir := repository(t)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if ext := filepath.Ext(path); d.IsDir() || ext != ".go" && ext != ".md" && ext != ".txtar" {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n := 0
		for line := range strings.Lines(string(b)) {
			n++
			if word := avoid.FindString(line); word != "" {
				rel, _ := filepath.Rel(dir, path)
				t.Errorf("%s:%d: avoid %q; CONTRIBUTING.md says how to write", rel, n, word)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
