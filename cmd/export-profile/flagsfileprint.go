package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// print writes an image file with the flags that are set, in YAML or JSON.
func (f *imageFileFlags) print(w io.Writer, fs *pflag.FlagSet, args []string, asJSON bool) error {
	doc := &yaml.Node{Kind: yaml.MappingNode}
	add := func(key string, value *yaml.Node) {
		doc.Content = append(doc.Content, yamlString(key), value)
	}
	fs.VisitAll(func(f *pflag.Flag) {
		switch {
		case !f.Changed || !inFile(f):
		case f.Value.Type() == "bool" || f.Value.Type() == "int":
			add(f.Name, &yaml.Node{Kind: yaml.ScalarNode, Value: f.Value.String()})
		case isPairs(f):
			m := &yaml.Node{Kind: yaml.MappingNode}
			for _, p := range mergeEnv(nil, f.Value.(pflag.SliceValue).GetSlice()) {
				name, value, _ := strings.Cut(p, "=")
				m.Content = append(m.Content, yamlString(name), yamlString(value))
			}
			add(f.Name, m)
		case f.Value.Type() == "stringArray":
			add(f.Name, yamlStrings(f.Value.(pflag.SliceValue).GetSlice()))
		default:
			var words []string
			if isCommand(f) && json.Unmarshal([]byte(f.Value.String()), &words) == nil {
				add(f.Name, yamlStrings(words))
				return
			}
			add(f.Name, yamlString(f.Value.String()))
		}
	})
	if list := changesNode(fs); list != nil {
		add(changesKey, list)
	}
	if len(args) == 1 {
		add(destinationKey, yamlString(args[0]))
	}
	if len(doc.Content) == 0 {
		return usagef("as in export-profile image --profile ./result --print-file oci:app:v1", "--print-file: there are no flags to print")
	}
	if asJSON {
		return printJSON(w, yamlJSON{doc})
	}
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	return errors.Join(enc.Encode(doc), enc.Close())
}

// yamlJSON is a node of print, as JSON in the same order.
type yamlJSON struct{ *yaml.Node }

func (n yamlJSON) MarshalJSON() ([]byte, error) {
	var parts [][]byte
	for _, child := range n.Content {
		b, err := yamlJSON{child}.MarshalJSON()
		if err != nil {
			return nil, err
		}
		parts = append(parts, b)
	}
	switch {
	case n.Kind == yaml.SequenceNode:
		return slices.Concat([]byte("["), bytes.Join(parts, []byte(",")), []byte("]")), nil
	case n.Kind == yaml.MappingNode:
		var members [][]byte
		for pair := range slices.Chunk(parts, 2) {
			members = append(members, bytes.Join(pair, []byte(":")))
		}
		return slices.Concat([]byte("{"), bytes.Join(members, []byte(",")), []byte("}")), nil
	case n.ShortTag() == "!!str":
		return json.Marshal(n.Value)
	case n.ShortTag() == "!!binary":
		return nil, errors.New("a flag is not UTF-8, which JSON cannot hold")
	}
	return []byte(n.Value), nil // true, false or a number
}

func yamlString(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

func yamlStrings(words []string) *yaml.Node {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, w := range words {
		list.Content = append(list.Content, yamlString(w))
	}
	return list
}

// schema makes the JSON schema (2020-12) of image files from the flags. image.schema.json is its output.
func schema(fs *pflag.FlagSet) ([]byte, error) {
	type object = map[string]any
	scalar := object{"type": []string{"string", "number", "boolean"}}
	list := object{"type": "array", "items": scalar}
	properties := object{
		destinationKey: object{"type": "string", "description": "where the image goes"},
		changesKey: object{
			"type": "array", "description": "what is laid on top of the profile, in order",
			"items": object{"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false, "properties": changeSchema()},
		},
	}
	fs.VisitAll(func(f *pflag.Flag) {
		if !inFile(f) {
			return
		}
		name, _ := describe(f)
		p := object{"description": schemaDescription(f)}
		switch {
		case f.Value.Type() == "bool":
			p["type"] = "boolean"
		case f.Value.Type() == "int":
			p["type"] = "integer"
		case isPairs(f):
			p["oneOf"] = []object{{"type": "object", "additionalProperties": scalar}, list, scalar}
		case f.Value.Type() == "stringArray", isCommand(f):
			p["oneOf"] = []object{list, scalar}
		case strings.Contains(name, "|") && !strings.Contains(name, "["):
			p["enum"] = strings.Split(name, "|")
		default:
			p["type"] = scalar["type"]
		}
		properties[f.Name] = p
	})
	var b bytes.Buffer
	err := printJSON(&b, object{
		"$schema":              "https://json-schema.org/draft/2020-12/schema",
		"$id":                  "https://github.com/export-profile/export-profile/raw/main/cmd/export-profile/image.schema.json",
		"title":                "an image of export-profile",
		"type":                 "object",
		"additionalProperties": false,
		"properties":           properties,
	})
	return b.Bytes(), err
}

// schemaDescription returns what a key of the file means, with the form of its value.
func schemaDescription(f *pflag.Flag) string {
	_, usage := pflag.UnquoteUsage(f)
	if arg, means := describe(f); means != usage {
		usage = arg + ": " + means
	}
	return strings.ReplaceAll(usage, "; repeatable", "")
}
