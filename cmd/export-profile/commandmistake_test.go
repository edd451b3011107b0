package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestEmptyFlags checks that every flag refuses an empty value, on a command line and in an image file.
func TestEmptyFlags(t *testing.T) {
	for _, c := range commands() {
		fs := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
		c.setup(fs)
		fs.VisitAll(func(f *pflag.Flag) {
			if kind := f.Value.Type(); kind != "string" && kind != "stringArray" {
				return
			}
			out, said, status := invoke(t, "", c.name, "--"+f.Name+"=")
			if status != 2 || out != "" || !strings.Contains(said, "error: --"+f.Name+": its value is empty") {
				t.Errorf("%s --%s= exits with %d, prints %q and says %q; want 2, nothing, and that the value is empty",
					c.name, f.Name, status, out, said)
			}
		})
	}
	_, said, status := invoke(t, "", "./root", "--from=", "--profile=")
	if status != 2 || !strings.Contains(said, "--from: its value is empty") || !strings.Contains(said, "--profile: its value is empty") {
		t.Errorf("./root --from= --profile= exits with %d and says %q; want 2 and both", status, said)
	}

	dir := t.TempDir()
	file := filepath.Join(dir, "image.yaml")
	for _, doc := range []string{"max-size: ''", "from: ''", "tag: [hello, '']", "platform: \"\"", "user: ''", "previous: ''"} {
		if err := os.WriteFile(file, []byte(doc+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		key, _, _ := strings.Cut(doc, ":")
		_, said, status := invoke(t, "", "image", "--file", file, "--from", storetest.File(t, "basic.nix-export"), "oci:"+filepath.Join(dir, "x"))
		if status != 2 || !strings.Contains(said, key+": its value is empty") {
			t.Errorf("an image file with %s: exits with %d and says %q; want 2, and that it is empty", doc, status, said)
		}
	}
}
