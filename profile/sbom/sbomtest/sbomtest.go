// Package sbomtest validates documents against the published schemas of SPDX and CycloneDX.
package sbomtest

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:embed spdx-2.3.schema.json
var spdx []byte

// Validate validates a JSON document. The format is "spdx" for SPDX 2.3 or "cyclonedx" for CycloneDX 1.6.
func Validate(format string, document []byte) error {
	all, err := schemas()
	if err != nil {
		return err
	}
	schema, ok := all[format]
	if !ok {
		return fmt.Errorf("no schema for %q", format)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return fmt.Errorf("%s document: %w", format, err)
	}
	return schema.Validate(doc)
}

// schemas loads the schema of SPDX from this package, and that of CycloneDX from its Go module.
var schemas = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		return nil, fmt.Errorf("find schemas: %w", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "schema")
	compiler := jsonschema.NewCompiler()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(spdx))
	if err == nil {
		err = compiler.AddResource("http://spdx.org/rdf/terms/2.3", doc)
	}
	if err != nil {
		return nil, fmt.Errorf("schema of SPDX: %w", err)
	}
	for url, name := range map[string]string{
		"http://cyclonedx.org/schema/bom-1.6.schema.json":  "bom-1.6.schema.json",
		"http://cyclonedx.org/schema/spdx.schema.json":     "spdx.schema.json",
		"http://cyclonedx.org/schema/jsf-0.82.schema.json": "jsf-0.82.schemax.json",
	} {
		if err := addFile(compiler, url, filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	all := make(map[string]*jsonschema.Schema)
	for format, url := range map[string]string{
		"spdx": "http://spdx.org/rdf/terms/2.3", "cyclonedx": "http://cyclonedx.org/schema/bom-1.6.schema.json",
	} {
		if all[format], err = compiler.Compile(url); err != nil {
			return nil, fmt.Errorf("schema of %s: %w", format, err)
		}
	}
	return all, nil
})

func addFile(compiler *jsonschema.Compiler, url, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	defer f.Close()
	doc, err := jsonschema.UnmarshalJSON(f)
	if err == nil {
		err = compiler.AddResource(url, doc)
	}
	if err != nil {
		return fmt.Errorf("schema %q: %w", name, err)
	}
	return nil
}
