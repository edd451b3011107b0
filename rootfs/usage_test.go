package rootfs

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestRemoveUnused checks that RemoveUnused removes the facts that no run has used for long, and only those.
func TestRemoveUnused(t *testing.T) {
	const unused = 30 * 24 * time.Hour
	facts := &Facts{Dir: filepath.Join(t.TempDir(), "facts")}
	if _, err := RemoveUnused(facts.Dir, unused); err != nil {
		t.Errorf("RemoveUnused of a missing directory = %v", err)
	}
	old, used := fmt.Sprintf("sha256:%064x", 1), fmt.Sprintf("sha256:%064x", 2)
	for _, key := range []string{old, used} {
		facts.Keep("listing", key, []byte("fact"))
		long := time.Now().Add(-2 * unused)
		if err := os.Chtimes(facts.path("listing", key), long, long); err != nil {
			t.Fatal(err)
		}
	}
	if facts.Load("listing", used) == nil {
		t.Error("a fact is gone before RemoveUnused")
	}
	if removed, err := RemoveUnused(facts.Dir, unused); err != nil || removed.Files != 1 {
		t.Fatalf("RemoveUnused = %+v, %v; want one file, <nil>", removed, err)
	}
	if facts.Load("listing", old) != nil || facts.Load("listing", used) == nil {
		t.Error("RemoveUnused kept an unused fact, or removed a used one")
	}
}

// TestVerifyFacts checks that VerifyFacts removes damaged facts and no others.
func TestVerifyFacts(t *testing.T) {
	facts := &Facts{Dir: filepath.Join(t.TempDir(), "facts")}
	if removed, err := VerifyFacts(t.Context(), facts.Dir); err != nil || len(removed) > 0 {
		t.Errorf("VerifyFacts of a missing directory = %q, %v; want nothing", removed, err)
	}
	good, bad := fmt.Sprintf("sha256:%064x", 1), fmt.Sprintf("sha256:%064x", 2)
	for _, key := range []string{good, bad} {
		facts.Keep("listing", key, []byte("fact"))
	}
	name := facts.path("listing", bad)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(factsVersion)] ^= 1
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if removed, err := VerifyFacts(t.Context(), facts.Dir); err != nil || len(removed) != 1 || removed[0] != filepath.Base(name) {
		t.Errorf("VerifyFacts = %q, %v; want %q, <nil>", removed, err, filepath.Base(name))
	}
	if facts.Load("listing", good) == nil {
		t.Error("VerifyFacts removed a good fact")
	}
}
