package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestManualChapters checks that every section of the manual is in one chapter, that chapters name no other sections,
// and that `help` prints each chapter.
func TestManualChapters(t *testing.T) {
	heads := make(map[string]bool)
	for _, s := range manualSections() {
		heads[s.dir+"#"+s.Anchor] = true
		// The beginning of the manual says what is in it, as `help manual` does.
		if s.chapter == "" && !s.Empty() && s.Anchor != "the-command" {
			t.Errorf("%s/README.md: the section %q is in no chapter", s.dir, s.Title)
		}
	}
	seen := make(map[string]string)
	for _, c := range chapters() {
		if isCommandName(c.name) || c.name == contentsName {
			t.Errorf("the chapter %s has the name of a command or of the list of chapters", c.name)
		}
		for _, head := range strings.Fields(c.heads) {
			if !heads[head] {
				t.Errorf("chapter %s: there is no heading %s", c.name, head)
			}
			if other, ok := seen[head]; ok {
				t.Errorf("%s is in the chapters %s and %s", head, other, c.name)
			}
			seen[head] = c.name
		}
		out := succeed(t, "", "help", c.name)
		for _, name := range strings.Fields(c.about) {
			if !isCommandName(name) {
				t.Errorf("chapter %s is about %q, which is no command", c.name, name)
			}
		}
		for _, s := range c.sections() {
			if title := s.Plain(); !strings.Contains(out, title+"\n"+strings.Repeat("=", utf8.RuneCountInString(title))) &&
				!strings.Contains(out, title+"\n"+strings.Repeat("-", utf8.RuneCountInString(title))) {
				t.Errorf("help %s does not print the section %q", c.name, title)
			}
		}
		if left := regexp.MustCompile(`(?m)^[^ ].*(\]\(|\*\*\S+\*\*|<!--|&lt;).*`).FindString(out); left != "" {
			t.Errorf("help %s prints marks of Markdown: %s", c.name, left)
		}
		for line := range strings.Lines(out) {
			if n := utf8.RuneCountInString(line); n > proseWidth+1 && !strings.HasPrefix(line, "    ") && !strings.Contains(line, "://") &&
				strings.Count(line, "  ") == 0 {
				t.Errorf("help %s has a line of %d characters: %s", c.name, n, line)
			}
		}
	}
	for _, c := range commands() {
		if names := chaptersAbout(c.name); len(names) > 0 && !strings.HasSuffix(succeed(t, "", "help", c.name), "  "+names[len(names)-1]+"\n") &&
			!strings.Contains(succeed(t, "", "help", c.name), ", "+names[len(names)-1]+"\n") {
			t.Errorf("help %s does not end with its chapters, %q", c.name, names)
		}
	}
	for word, name := range otherWords() {
		if name != contentsName && !slices.Contains(chapterNames(), name) || slices.Contains(chapterNames(), word) {
			t.Errorf("otherWords maps %q to %q; want another word, and a chapter", word, name)
		}
	}
}

// TestManualChapterNames checks that every chapter which code or documents name exists.
func TestManualChapterNames(t *testing.T) {
	named := regexp.MustCompile(`export-profile help ([a-z][a-z-]*)`)
	dir := repository(t)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range append(files, filepath.Join(dir, "README.md"), filepath.Join(dir, manualName), filepath.Join(dir, "profile/README.md"), filepath.Join(dir, "ocilayout/README.md")) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(b), -1) {
			found++
			if !isCommandName(m[1]) && m[1] != contentsName && !slices.Contains(chapterNames(), m[1]) {
				t.Errorf("%s names %q, which is neither a command nor a chapter", name, m[0])
			}
		}
	}
	if found < 5 {
		t.Errorf("found %d names of chapters; want at least 5", found)
	}
}

func TestLinkText(t *testing.T) {
	for _, tt := range []struct{ dir, from, target, want string }{
		{"cmd/export-profile", "updates", "#what-changed", "`export-profile help differences`"},
		{"cmd/export-profile", "differences", "#what-changed", ""},
		{"cmd/export-profile", "script", "../../profile/README.md#guixs-signatures", "`export-profile help guix-signatures`"},
		{"cmd/export-profile", "script", "../../profile/README.md", "`export-profile help sources`"},
		{"ocilayout", "layers", "plan", repositoryURL + "ocilayout/plan"},
		{"ocilayout", "layers", "https://example.com/#x", "https://example.com/#x"},
	} {
		if got := linkText(tt.dir, tt.from, tt.target); got != tt.want {
			t.Errorf("linkText(%q, %q, %q) = %q; want %q", tt.dir, tt.from, tt.target, got, tt.want)
		}
	}
}

func TestNearChapters(t *testing.T) {
	for word, want := range map[string]string{
		"trusts": "trust", "dockerfile": "script", "Docker": "podman", "regstry": "registries", "cache": "local-cache shared-cache",
		"attestation": "attestations", "qqqqqqqqqqqq": "",
	} {
		if got := strings.Join(nearChapters(word), " "); got != want {
			t.Errorf("nearChapters(%q) = %q; want %q", word, got, want)
		}
	}
}
