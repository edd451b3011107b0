package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// TestSchema checks that the published schema is that of the flags, and accepts what the program accepts.
func TestSchema(t *testing.T) {
	fs := pflag.NewFlagSet("image", pflag.ContinueOnError)
	setupImage(fs)
	b, err := schema(fs)
	if err != nil {
		t.Fatal(err)
	}
	const name = "image.schema.json"
	if *update {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if published, err := os.ReadFile(name); err != nil {
		t.Fatal(err)
	} else if diff := cmp.Diff(string(published), string(b)); diff != "" {
		t.Errorf("%s differs from the flags (-file +flags), go test ./cmd/... -update writes it:\n%s", name, diff)
	}

	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		doc   string
		valid bool
	}{
		{"{}", true},
		{"profile: ./result\nenv: {A: 1, B: x}\nexpose: [80, 443/tcp]\nbare: true\nmax-layers: 3", true},
		{"entrypoint: [a, b]\ncmd: c\nlayers: single\ndestination: oci:x", true},
		{"env: [A=1]\nlabel: a=b", true},
		{"usre: app:1000", false},
		{"json: true", false},
		{"bare: perhaps", false},
		{"layers: many", false},
		{"max-layers: many", false},
		{"env: {A: [1]}", false},
		{"changes: x", false},
	} {
		var v any
		if err := yaml.Unmarshal([]byte(tt.doc), &v); err != nil {
			t.Fatal(err)
		}
		asJSON, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
		if err != nil {
			t.Fatal(err)
		}
		fs := pflag.NewFlagSet("image", pflag.ContinueOnError)
		setupImage(fs)
		_, takes := applyImageFile(fs, []byte(tt.doc))
		if err := s.Validate(instance); (err == nil) != tt.valid {
			t.Errorf("schema: %v for %q; want valid %v", err, tt.doc, tt.valid)
		}
		if tt.valid && takes != nil {
			t.Errorf("applyImageFile(%q) = %v; want nil", tt.doc, takes)
		}
	}
}

// FuzzImageFile checks that an accepted image file can be printed and read again.
func FuzzImageFile(f *testing.F) {
	for _, s := range []string{
		"profile: ./result\nenv: {A: 1, B: x}\nexpose: [80, 443/tcp]\nbare: true\n",
		`{"entrypoint": ["a", "b"], "cmd": "c", "max-layers": 3, "destination": "oci:x"}`,
		"changes:\n- add: a:/b\n- layer:\n- mkdir: /x\n",
		"a: *b", "a: &b c", "- - - -", "? {a: b}\n: c", "a: !!binary x", "---\n---\n", "\t{", "env: {A: '', B: \"\\n\"}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		first := pflag.NewFlagSet("image", pflag.ContinueOnError)
		setupImage(first)
		destination, err := applyImageFile(first, b)
		if err != nil {
			return
		}
		var args []string
		if destination != "" {
			args = []string{destination}
		}
		var printed, again bytes.Buffer
		if err := new(imageFileFlags).print(&printed, first, args, false); err != nil {
			return // an empty file
		}
		var asJSON bytes.Buffer
		if err := new(imageFileFlags).print(&asJSON, first, args, true); err != nil && !strings.Contains(err.Error(), "not UTF-8") {
			t.Errorf("%q is not printed as JSON: %v", b, err)
		}
		for _, form := range []*bytes.Buffer{&printed, &asJSON} {
			if form.Len() == 0 {
				continue
			}
			second := pflag.NewFlagSet("image", pflag.ContinueOnError)
			setupImage(second)
			if _, err := applyImageFile(second, form.Bytes()); err != nil {
				t.Fatalf("%q is printed as %q: %v", b, form, err)
			}
			again.Reset()
			if err := new(imageFileFlags).print(&again, second, args, false); err != nil || again.String() != printed.String() {
				t.Errorf("%q is printed as %q, and that as %q, %v", b, form, &again, err)
			}
		}
	})
}
