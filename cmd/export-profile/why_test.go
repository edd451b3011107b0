package main

import (
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestWhySeveral checks that all store paths are listed if a word names several.
func TestWhySeveral(t *testing.T) {
	s := storetest.New("several")
	one := s.Add(t, "glibc-2.40", "", "f 0444 . one")
	two := s.Add(t, "glibc-2.39", "", "f 0444 . two")
	s.Add(t, "app", "glibc-2.40 glibc-2.39", "d .", "l new "+string(one), "l old "+string(two))
	file := s.WriteExport(t)
	out, said, status := invoke(t, "", "why", "--no-cache", "--from", file, "glibc")
	found := []string{string(one), string(two)}
	if found[0] > found[1] {
		found[0], found[1] = found[1], found[0]
	}
	list := "export-profile: error: find \"glibc\": it names several store paths:\n  " + strings.Join(found, "\n  ") + "\n"
	if status != 1 || out != "" || !strings.Contains(said, list) || !strings.Contains(said, "hint: name one of them: export-profile why "+found[0][len("/nix/store/"):]) {
		t.Errorf("exit status %d, %q on standard output, and it says %q; want 1, nothing, and %q with a hint", status, out, said, list)
	}
	if out, said, status := invoke(t, "", "why", "--no-cache", "--from", file, "glibc-2.39"); status != 0 || !strings.Contains(out, string(two)) {
		t.Errorf("name with a version: exit status %d, %q, and it says %q", status, out, said)
	}
}
