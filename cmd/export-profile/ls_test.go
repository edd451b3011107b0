package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDuSize checks that sizes are rounded up, as du -h does.
func TestDuSize(t *testing.T) {
	for _, tt := range []struct {
		n    int64
		want string
	}{
		{0, "0"}, {1023, "1023"}, {1024, "1.0K"}, {1025, "1.1K"}, {10137, "9.9K"}, {10138, "10K"}, {10240, "10K"}, {10241, "11K"},
		{1 << 20, "1.0M"}, {1<<20 - 1, "1.0M"}, {1023 << 10, "1023K"}, {1023<<10 + 1, "1.0M"}, {1 << 30, "1.0G"}, {1<<63 - 1, "8.0E"},
	} {
		if got := duSize(tt.n); got != tt.want {
			t.Errorf("duSize(%d) = %q; want %q", tt.n, got, tt.want)
		}
	}
}

// TestLsBytes checks that --json distinguishes names that are not UTF-8.
func TestLsBytes(t *testing.T) {
	dir := t.TempDir()
	object := "00000000000000000000000000000000-a"
	for _, name := range []string{"\xffq", "\xfeq", "q"} {
		if err := os.MkdirAll(filepath.Join(dir, object), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, object, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("nowhere", filepath.Join(dir, object, "lost"+name)); err != nil {
			t.Fatal(err)
		}
	}
	place := "/nix/store/" + object
	out := succeed(t, "", "ls", "--no-cache", "--quiet", "--json", "--from", dir, "--profile", place, place)
	var got struct {
		Files []struct {
			Path      string
			PathBytes []byte
		}
		Dangling      []string
		DanglingBytes [][]byte
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	said := make(map[string]bool)
	for _, f := range got.Files {
		said[f.Path] = f.PathBytes == nil
		if f.PathBytes != nil {
			said[string(f.PathBytes)] = true
		}
	}
	for _, name := range []string{"\xffq", "\xfeq", "q"} {
		if !said[place+"/"+name] {
			t.Errorf("%q is not in %s", name, out)
		}
	}
	if said[place+"/\ufffdq"] {
		t.Errorf("no bytes for a path that is not UTF-8: %s", out)
	}
	if len(got.Dangling) != 3 || len(got.DanglingBytes) != 2 || string(got.DanglingBytes[0]) == string(got.DanglingBytes[1]) {
		t.Errorf("Dangling = %q, DanglingBytes = %q; want three, two of them in bytes", got.Dangling, got.DanglingBytes)
	}
}

// TestLsTerminal checks that no name in an image changes what a terminal shows, and that a pipe gets names as they are.
func TestLsTerminal(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	odd := "a\x1b[2J\nb"
	makeFile(t, "file", "content", 0o644)
	args := []string{"ls", "--no-cache", "--no-profile", "--platform", "linux/amd64", "--add", "file:/srv/" + odd, "/srv"}
	if out := succeed(t, "", args...); !strings.Contains(out, "\t/srv/"+odd+"\n") {
		t.Errorf("ls prints %q into a pipe; want the name %q", out, odd)
	}
	shown, screen := openTerminal(t, 80)
	status := run(t.Context(), args, terminal{in: os.Stdin, out: screen, err: io.Discard})
	screen.Close()
	b, _ := io.ReadAll(shown) // the last read fails after the writer closes
	if got := string(b); status != 0 || !strings.Contains(got, `"/srv/a\x1b[2J\nb"`) || strings.Contains(got, "\x1b") {
		t.Errorf("ls exits with %d and prints %q on a terminal; want the name quoted", status, got)
	}
}
