package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// documents are valid and have all fields of the specification's schema.
var documents = []struct {
	schema string
	shape  shape
	doc    string
}{
	{"image-layout-schema.json", layoutShape, `{"imageLayoutVersion":"1.0.0"}`},
	{"image-index-schema.json", indexShape, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","artifactType":"a/b",
		"manifests":[{"mediaType":"a/b","size":7,"digest":"` + someDigest + `","urls":["https://example.com/x"],"annotations":{"a":"b"},
			"platform":{"architecture":"arm","os":"linux","os.version":"1","os.features":["a"],"variant":"v7"}}],
		"subject":` + fullDescriptor + `,"annotations":{"a":"b"}}`},
	{"image-manifest-schema.json", manifestShape, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"a/b",
		"config":` + fullDescriptor + `,"layers":[` + fullDescriptor + `],"subject":` + fullDescriptor + `,"annotations":{"a":"b"}}`},
	{"config-schema.json", configShape, `{"created":"2015-10-31T22:22:56.015925234Z","author":"a","architecture":"arm64","variant":"v8",
		"os":"linux","os.version":"1","os.features":["a"],
		"config":{"User":"1:1","ExposedPorts":{"8080/tcp":{}},"Env":["A=b"],"Entrypoint":["/bin/sh"],"Cmd":["-c"],"Volumes":{"/v":{}},
			"WorkingDir":"/","Labels":{"a":"b"},"StopSignal":"SIGKILL","ArgsEscaped":true},
		"rootfs":{"type":"layers","diff_ids":["` + someDigest + `"]},
		"history":[{"created":"2015-10-31T22:22:54Z","author":"a","created_by":"b","comment":"c","empty_layer":true}]}`},
}

const (
	someDigest     = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
	fullDescriptor = `{"mediaType":"a/b","size":7,"digest":"` + someDigest + `","urls":["https://example.com/x"],"data":"e30=","artifactType":"c/d","annotations":{"a":"b"}}`
)

// replacements are the values that TestSchema puts in place of each value of a document. It also removes each field.
var replacements = []string{`null`, `7`, `-7`, `2.0`, `7.5`, `"x"`, `""`, `"\u0000"`, `true`, `[]`, `{}`, `[7]`, `[null]`, `{"x":7}`, `{"x":null}`, `{"7/x":{}}`,
	`"sha256:x"`, `"sha512:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"`, `"sha256+b64:abc"`, `"A/B"`, `"a/b/c"`, `".a/b"`, `"linux"`,
	`"2015-10-31T22:22:54,5Z"`, `"2015-10-31T2:22:54Z"`, `"2015-10-31t22:22:54z"`, `"2015-10-31T22:22:54+25:00"`, `"2015-10-31"`, `"2016-12-31T23:59:60Z"`}

// stricter lists the fields and values that the shapes refuse and the schema allows, with the reason.
var stricter = map[string]string{
	"mediaType":                        "the specification's prose fixes its value",
	"schemaVersion 2.0":                "Go's decoder wants an integer without a point",
	"size 2.0":                         "Go's decoder wants an integer without a point",
	"size -7":                          "a size is not negative",
	"digest \"sha512:":                 "the digest has the wrong length for its algorithm",
	"digest \"sha256":                  "the digest has the wrong length, or an unsupported algorithm",
	"diff_ids \"":                      "a diffID is a digest",
	"architecture \"\"":                "a required string is not empty",
	"os \"\"":                          "a required string is not empty",
	"Env \"":                           "the specification's prose says NAME=VALUE",
	"ExposedPorts {\"":                 "the specification's prose says PORT[/PROTOCOL]",
	"platform":                         "the shapes check it in every descriptor",
	"created \"2015-10-31t22:22:54z\"": "Go's time package refuses it",
	"created \"2016-12-31T23:59:60Z\"": "Go's time package refuses it",
}

// laxer lists the values that the schema refuses and the shapes allow, because the specification's prose does:
// "Any OPTIONAL field MAY also be set to null, which is equivalent to being absent". Docker writes such nulls.
var laxer = []string{"config.ExposedPorts null", "config.Env null", "history null"}

// schemas compiles the schemas of the image-spec module that this program uses, and returns their directory.
func schemas(t *testing.T) (string, *jsonschema.Compiler) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/opencontainers/image-spec").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "schema")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no schema in %q: %v", dir, err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft4)
	for _, name := range files {
		doc := parse(t, readTestFile(t, name))
		dropIDs(doc)
		if err := c.AddResource("schema:///"+filepath.Base(name), doc); err != nil {
			t.Fatal(err)
		}
	}
	return dir, c
}

// dropIDs removes the ids, so that the files refer to each other by name.
func dropIDs(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["id"].(string); ok {
			delete(v, "id")
		}
		for _, inner := range v {
			dropIDs(inner)
		}
	case []any:
		for _, inner := range v {
			dropIDs(inner)
		}
	}
}

func readTestFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func parse(t *testing.T, doc string) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(doc))
	if err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return v
}

// TestSchema checks that shapes and schema agree about the documents and about every single change to them,
// except for the differences that stricter and laxer list.
func TestSchema(t *testing.T) {
	_, compiler := schemas(t)
	usedStricter, usedLaxer := make(map[string]bool), make(map[string]bool)
	for _, d := range documents {
		schema, err := compiler.Compile("schema:///" + d.schema)
		if err != nil {
			t.Fatal(err)
		}
		compare := func(doc any, change string) {
			t.Helper()
			b, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			var found []string
			checkShape(b, d.shape, func(where, what string) { found = append(found, where+": "+what) })
			invalid := schema.Validate(parse(t, string(b)))
			switch {
			case (len(found) == 0) == (invalid == nil):
			case invalid != nil:
				at := slices.IndexFunc(laxer, func(s string) bool { return s == change })
				if at < 0 {
					t.Errorf("%s: %s: no problems; the schema says %v", d.schema, change, invalid)
					return
				}
				usedLaxer[laxer[at]] = true
			default:
				why := reason(change)
				if why == "" {
					t.Errorf("%s: %s: problems %q; the schema says nothing", d.schema, change, found)
				}
				usedStricter[why] = true
			}
		}
		compare(parse(t, d.doc), "unchanged")
		for _, p := range paths(parse(t, d.doc), nil) {
			if len(p) > 0 {
				doc := parse(t, d.doc)
				if remove(doc, p) {
					compare(doc, where(p)+" removed")
				}
			}
			for _, value := range replacements {
				compare(replace(parse(t, d.doc), p, parse(t, value)), where(p)+" "+value)
			}
		}
	}
	for name := range stricter {
		if !usedStricter[name] {
			t.Errorf("the shapes are not stricter about %s", name)
		}
	}
	for _, name := range laxer {
		if !usedLaxer[name] {
			t.Errorf("the shapes are not laxer about %s", name)
		}
	}
}

// reason returns the longest key of stricter that fits a change.
func reason(change string) (found string) {
	if strings.Contains(change, `"\u0000"`) {
		return "NUL"
	}
	for name := range stricter {
		field, value, _ := strings.Cut(name, " ")
		at, changed, _ := strings.Cut(change, " ")
		elements := strings.FieldsFunc(at, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
		if slices.Contains(elements, field) && strings.HasPrefix(changed, value) && len(name) > len(found) {
			found = name
		}
	}
	return found
}

// paths returns the paths of all values in a document.
func paths(v any, at []any) [][]any {
	all := [][]any{slices.Clone(at)}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			all = append(all, paths(v[name], append(at, name))...)
		}
	case []any:
		for i := range v {
			all = append(all, paths(v[i], append(at, i))...)
		}
	}
	return all
}

func where(path []any) string {
	var b strings.Builder
	for _, p := range path {
		switch p := p.(type) {
		case string:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(p)
		default:
			fmt.Fprintf(&b, "[%v]", p)
		}
	}
	return b.String()
}

func replace(doc any, path []any, value any) any {
	if len(path) == 0 {
		return value
	}
	switch p := path[0].(type) {
	case string:
		doc.(map[string]any)[p] = replace(doc.(map[string]any)[p], path[1:], value)
	case int:
		doc.([]any)[p] = replace(doc.([]any)[p], path[1:], value)
	}
	return doc
}

// remove removes a field of an object. It reports false if the path is that of an array's item.
func remove(doc any, path []any) bool {
	for _, p := range path[:len(path)-1] {
		switch p := p.(type) {
		case string:
			doc = doc.(map[string]any)[p]
		case int:
			doc = doc.([]any)[p]
		}
	}
	name, ok := path[len(path)-1].(string)
	if ok {
		delete(doc.(map[string]any), name)
	}
	return ok
}

// TestSchemaFields checks that documents have all fields of the schema,
// so that TestSchema covers the fields that a new version of the schema adds.
func TestSchemaFields(t *testing.T) {
	dir, _ := schemas(t)
	for _, d := range documents {
		want, got := make(map[string]bool), make(map[string]bool)
		collect(parse(t, readTestFile(t, filepath.Join(dir, d.schema))), want)
		for _, p := range paths(parse(t, d.doc), nil) {
			if name, ok := last(p).(string); ok {
				got[name] = true
			}
		}
		for name := range want {
			if !got[name] {
				t.Errorf("%s: %q is not in the document", d.schema, name)
			}
		}
	}
}

func last(path []any) any {
	if len(path) == 0 {
		return nil
	}
	return path[len(path)-1]
}

// collect adds the names of all properties of a schema to names.
func collect(schema any, names map[string]bool) {
	switch v := schema.(type) {
	case map[string]any:
		if properties, ok := v["properties"].(map[string]any); ok {
			for name := range properties {
				names[name] = true
			}
		}
		for _, inner := range v {
			collect(inner, names)
		}
	case []any:
		for _, inner := range v {
			collect(inner, names)
		}
	}
}

// TestSchemaTables checks that the schema agrees with the expectations of TestCheckShape, except where Go's decoder is stricter.
func TestSchemaTables(t *testing.T) {
	_, compiler := schemas(t)
	schema, err := compiler.Compile("schema:///image-manifest-schema.json")
	if err != nil {
		t.Fatal(err)
	}
	own := []string{"two documents", "same name", "numbers that are no integers"} // not valid JSON for the schema's decoder, or not noticed by it
	for _, test := range manifests {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(test.doc)))
		if err == nil {
			err = schema.Validate(v)
		}
		if right := test.want == nil && test.name != "many layers"; right != (err == nil) && !slices.Contains(own, test.name) {
			t.Errorf("%s: the schema says %v; want %v", test.name, err, cmp.Diff([]string(nil), test.want))
		}
	}
}
