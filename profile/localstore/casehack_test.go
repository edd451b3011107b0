package localstore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestTrustedCaseHack checks that names that Nix has changed are restored in a store that is trusted like that of this machine,
// unless the object then does not have its hash.
func TestTrustedCaseHack(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		s := storetest.New("terminfo")
		p := s.Add(t, "terminfo", "", "d .", "d e", "f 0444 e/Eterm a", "f 0444 e/eterm b", "f 0444 e/eterm-x c")
		root := s.WriteRoot(t)
		s.AddDatabase(t, root)
		dir := filepath.Join(root, p.Root(), "e")
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir+"/eterm", dir+"/eterm~nix~case~hack~1"); err != nil {
			t.Fatal(err)
		}
		if damaged {
			if err := os.Rename(dir+"/Eterm", dir+"/Fterm"); err != nil {
				t.Fatal(err)
			}
		}
		var notes []string
		store, err := Open(t.Context(), root, Options{Note: func(text string) { notes = append(notes, text) }})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		store.verify = false
		if !damaged {
			storetest.Test(t, store, s)
		}
		lines, err := storetest.List(store.Files(t.Context(), p))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(strings.Join(lines, "\n"), "~nix~case~hack~"); got != damaged || (len(notes) == 0) != damaged {
			t.Errorf("damaged: %v: Files has changed names: %v, notes: %q; want them only if damaged", damaged, got, notes)
		}
	}
}
