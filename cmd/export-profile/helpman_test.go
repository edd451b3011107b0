package main

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

func printedPage(t *testing.T) string {
	t.Helper()
	return succeed(t, "", "help", "--man")
}

// TestManPage checks that mandoc finds nothing to warn about in the manual page.
func TestManPage(t *testing.T) {
	mandoc, err := exec.LookPath("mandoc")
	if err != nil {
		t.Skip(err)
	}
	for _, date := range []string{undated, "March 4, 2026"} {
		lint := exec.Command(mandoc, "-T", "lint")
		lint.Stdin = strings.NewReader(manPage(date))
		if out, err := lint.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("mandoc -T lint of a page with date %q: %v\n%s", date, err, out)
		}
	}
	show := exec.Command(mandoc, "-T", "ascii", "-O", "width=200")
	show.Stdin = strings.NewReader(printedPage(t))
	out, err := show.Output()
	if err != nil {
		t.Fatal(err)
	}
	if text := string(bytes.ReplaceAll(out, []byte("\b"), nil)); !strings.Contains(text, "EXIT STATUS") && !strings.Contains(text, "EEXXIITT") {
		t.Errorf("mandoc shows no exit statuses: %s", text)
	}
}

// TestManPageComplete checks that the manual page has every command, flag and exit status, and is the same each time.
func TestManPageComplete(t *testing.T) {
	page := printedPage(t)
	for _, c := range commands() {
		if !strings.Contains(page, "\n.Ss "+c.name+"\n") {
			t.Errorf("the manual page lacks the command %s", c.name)
		}
		for _, d := range flagsOf(c) {
			if !strings.Contains(page, "\n.It Fl \\-"+manEscape(d.name)+"\n") && !strings.Contains(page, "\n.It Fl \\-"+manEscape(d.name)+" ") {
				t.Errorf("the manual page lacks --%s", d.name)
			}
		}
	}
	for _, section := range []string{"ENVIRONMENT", "FILES", "EXIT STATUS", "EXAMPLES"} {
		if !strings.Contains(page, "\n.Sh "+section+"\n") {
			t.Errorf("the manual page lacks the section %s", section)
		}
	}
	if at := strings.IndexFunc(page, func(r rune) bool { return r > '~' }); at >= 0 {
		t.Errorf("the manual page has a character that is not in ASCII: %.20q", page[at:])
	}
	if again := printedPage(t); again != page {
		t.Error("help --man prints another page the second time")
	}
	_, said, status := invoke(t, "", "help", "--man", "image")
	if status != 2 || !strings.Contains(said, "--man is about all commands") {
		t.Errorf("help --man image exits with %d and says %q; want 2 and a reason", status, said)
	}
}
