package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
)

// TestConfigText checks that text must be UTF-8: in JSON, different values would become the same.
func TestConfigText(t *testing.T) {
	for flag, c := range map[string]configFlags{
		"--env":        {env: []string{"A=a", "B=\xff"}},
		"--entrypoint": {entrypoint: "\xff"},
		"--cmd":        {cmd: "[\"a\", \"\xff\"]"},
		"--workdir":    {workdir: "/\xff"},
		"--label":      {labels: []string{"\xff=a"}},
		"--volume":     {volumes: []string{"/a", "/\xff"}},
		"--author":     {author: "\xff"},
		"--os-version": {osVersion: "\xff"},
		"--os-feature": {osFeatures: []string{"\xff"}},
	} {
		_, err := c.config()
		var usage *usageError
		if !errors.As(err, &usage) || !strings.HasPrefix(err.Error(), flag) || !strings.HasSuffix(err.Error(), ": not UTF-8") {
			t.Errorf("config() with %s: %v; want a usage error", flag, err)
		}
	}
	if _, err := parsePairs("--annotation", []string{"a=\xff"}); err == nil {
		t.Error("parsePairs accepted text that is not UTF-8")
	}
	if n, err := parseImageFile([]byte("{\"a\": \"\xff\"}")); err == nil {
		t.Errorf("parseImageFile accepted text that is not UTF-8: %q", n.items[0].text)
	}
	if _, err := (&configFlags{env: []string{"A=ü\ufffd"}}).config(); err != nil {
		t.Error(err)
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
	place := profile.StoreDir + "/" + object
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
