package main

import (
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/spf13/pflag"
)

// TestNixFlags checks that every flag which the expressions in .github/nix and their chapter name is one of image,
// and that flags.NAME in the chapter are keys of an image file.
func TestNixFlags(t *testing.T) {
	fs := pflag.NewFlagSet("image", pflag.ContinueOnError)
	setupImage(fs)
	dir := repository(t)
	chapter := regexp.MustCompile(`(?s)\n## Images as derivations of Nix\n(.*?)\n## `).FindString(readFile(t, filepath.Join(dir, manualName)))
	image := readFile(t, filepath.Join(dir, ".github/nix/image.nix"))
	reserved := regexp.MustCompile(`(?s)reserved = \{\n(.*?)\n  \};`).FindString(image)
	found := make(map[string]bool)
	for _, tt := range []struct{ text, pattern string }{
		{chapter, `\bflags\.([a-z-]+)`},
		{chapter, "`--([a-z-]+)"},
		{image, `(?:\(| )--([a-z-]+)`},
		{reserved, `(?m)^    ([a-z-]+) = `},
		{readFile(t, filepath.Join(dir, ".github/nix/config.nix")), `\{ ([a-z-]+) = [a-z]+; \}`},
		{readFile(t, filepath.Join(dir, ".github/nix/config.nix")), `"(healthcheck-[a-z-]+)"`},
		{readFile(t, filepath.Join(dir, ".github/nix/closure.nix")), `--([a-z-]+)`},
	} {
		names := regexp.MustCompile(tt.pattern).FindAllStringSubmatch(tt.text, -1)
		if len(names) == 0 {
			t.Errorf("%q matches nothing", tt.pattern)
		}
		for _, m := range names {
			name := m[1]
			found[name] = true
			flag := fs.Lookup(name)
			if flag == nil && !slices.Contains([]string{changesKey, destinationKey}, name) {
				t.Errorf("%q finds the flag %q, which image does not have", tt.pattern, name)
			}
			if flag != nil && m[0] == "flags."+name && !inFile(flag) {
				t.Errorf("the chapter names flags.%s, which is no key of an image file", name)
			}
		}
	}
	for _, name := range []string{"owner", "with-nix-db", "layers-file", "previous", "base", "healthcheck-interval", "workdir", "no-profile"} {
		if !found[name] {
			t.Errorf("found no flag %s; want at least this one", name)
		}
	}
}
