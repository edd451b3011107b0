// Package sbomtest validates documents against the published schemas of SPDX and CycloneDX.
package sbomtest

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// cycloneDX finds the directory of the schemas of CycloneDX.
func cycloneDX() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		return "", fmt.Errorf("find schemas: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "schema"), nil
}

// schemas loads the schema of SPDX from this package, and that of CycloneDX from its Go module.
var schemas = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	dir, err := cycloneDX()
	if err != nil {
		return nil, err
	}
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

// CompileSchema compiles a schema of our own, with its formats.
func CompileSchema(schema []byte) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("schema.json", doc); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return compiler.Compile("schema.json")
}

// LicenseIDs returns the identifiers of licences that CycloneDX 1.6 allows, sorted.
func LicenseIDs() ([]string, error) {
	dir, err := cycloneDX()
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, "spdx.schema.json"))
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	var schema struct{ Enum []string }
	if err := json.Unmarshal(b, &schema); err != nil {
		return nil, fmt.Errorf("schema of licences: %w", err)
	}
	slices.Sort(schema.Enum)
	return schema.Enum, nil
}
