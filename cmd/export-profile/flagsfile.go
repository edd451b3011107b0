package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// A document has the flags of an image, for what one keeps in git:
//
//	profile: ./result
//	entrypoint: [nginx, -g, daemon off;]
//	env: {LANG: C.UTF-8}
//	changes:
//	- add: page.html:/srv/page.html
//	- mkdir: /var/lib/app:0750:101
//	destination: oci:app:v1
//
// Its keys are the flags' names, and a value is what the flag takes: one that repeats takes a list, too,
// one of NAME=VALUE a map, a command a list of words. changes has, in order, what --add and its like say,
// and destination is the argument. Relative paths are relative to the working directory, as on a command line.
//
// A flag on the command line takes the place of the key, but of maps it only overrides what it names.

// maxDocument is more bytes than anybody writes.
const maxDocument = 4 << 20

// notInFile are the flags that are about one run.
var notInFile = []string{"help", "file", "print-file", "print-schema", "json", "quiet", "debug", "digest-file"}

// inFile says whether a flag is a key of documents by its own name.
func inFile(f *pflag.Flag) bool { return !slices.Contains(notInFile, f.Name) && !isChange(f) }

const (
	changesKey     = "changes"
	destinationKey = "destination"
)

// documentFlag is of commands that take a document: image, and those that look at the image that it would make.
type documentFlag struct{ file string }

func (f *documentFlag) flags(fs *pflag.FlagSet) {
	fs.StringVar(&f.file, "file", "", "take flags and the destination from `FILE`, JSON or YAML, or - for standard input, as image does; flags override it")
}

// fileFlags also write documents.
type fileFlags struct {
	documentFlag
	printFile   bool
	printSchema bool
}

func (f *fileFlags) flags(fs *pflag.FlagSet) {
	f.documentFlag.flags(fs)
	fs.BoolVar(&f.printFile, "print-file", false, "print such a file of the flags, and make no image")
	fs.BoolVar(&f.printSchema, "print-schema", false, "print the JSON schema of such a file, and make no image")
}

// read applies the document to a command's flags. All of it is checked as image does, and what other commands
// have no flag for, as that is nothing they show, is left out; so is a shared cache where a command has no use for one.
func (f *documentFlag) read(fs *pflag.FlagSet, in io.Reader, c *cacheFlags) (destination string, err error) {
	if f.file == "" {
		return "", nil
	}
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return "", fmt.Errorf("read image file: %w", err)
		}
		defer file.Close()
		in = file
	}
	b, err := io.ReadAll(io.LimitReader(in, maxDocument+1))
	if err == nil && len(b) > maxDocument {
		err = fmt.Errorf("it has more than %d bytes", maxDocument)
	}
	if err != nil {
		return "", fmt.Errorf("read image file %q: %w", f.file, err)
	}
	given := fs.Changed("cache")
	if destination, err = applyDocument(imageFlagsOver(fs), b); err != nil {
		return "", &usageError{msg: fmt.Sprintf("image file %q: %v", f.file, err),
			hint: "`export-profile image --print-schema` prints what can be in it"}
	}
	if !given && !c.shares {
		c.cache = slices.DeleteFunc(c.cache, func(word string) bool { return strings.HasPrefix(word, registryPrefix) })
	}
	return destination, nil
}

// imageFlagsOver are the flags of image; those that a command has, too, are the command's.
func imageFlagsOver(own *pflag.FlagSet) *pflag.FlagSet {
	image := pflag.NewFlagSet("image", pflag.ContinueOnError)
	all := pflag.NewFlagSet("image", pflag.ContinueOnError)
	setupImage(image)
	image.SortFlags, all.SortFlags = false, false // as in help, the first is meant rather than another
	image.VisitAll(func(f *pflag.Flag) {
		if mine := own.Lookup(f.Name); mine != nil {
			f = mine
		}
		all.AddFlag(f)
	})
	return all
}

// applyDocument sets the flags that the command line has not set. All that is wrong is told at once.
func applyDocument(fs *pflag.FlagSet, b []byte) (destination string, err error) {
	root, err := parseDocument(b)
	if err != nil {
		return "", err
	}
	if root.kind != mapNode {
		return "", root.errorf("want a map of flags")
	}
	var wrong []error
	for i, key := range root.keys {
		value := root.items[i]
		var err error
		switch flag := fs.Lookup(key.text); {
		case key.text == destinationKey:
			destination, err = value.scalar("destination")
		case key.text == changesKey:
			err = applyChanges(fs, value)
		case flag == nil || !inFile(flag):
			err = unknownKey(fs, key)
		default:
			err = applyFlag(fs, flag, value)
		}
		wrong = append(wrong, err)
	}
	return destination, errors.Join(wrong...)
}

func unknownKey(fs *pflag.FlagSet, key *node) error {
	names := []string{destinationKey, changesKey}
	fs.VisitAll(func(f *pflag.Flag) {
		if inFile(f) {
			names = append(names, f.Name)
		}
	})
	if flag := fs.Lookup(key.text); flag != nil && isChange(flag) {
		return key.errorf("%q is one of %q", key.text, changesKey)
	}
	if near := nearest(key.text, names); near != "" {
		return key.errorf("unknown key %q: did you mean %q?", key.text, near)
	}
	return key.errorf("unknown key %q", key.text)
}

func (n *node) scalar(name string) (string, error) {
	if n.kind != scalarNode {
		return "", n.errorf("%s: want one value", name)
	}
	return n.text, nil
}

// scalars are those of a list, or the only one.
func (n *node) scalars(name string) ([]string, error) {
	if n.kind == scalarNode {
		return []string{n.text}, nil
	}
	if n.kind != listNode {
		return nil, n.errorf("%s: want a value or a list", name)
	}
	words := make([]string, 0, len(n.items))
	for _, item := range n.items {
		s, err := item.scalar(name)
		if err != nil {
			return nil, err
		}
		words = append(words, s)
	}
	return words, nil
}

// isPairs says whether a flag takes NAME=VALUE, and isCommand whether it takes words.
func isPairs(f *pflag.Flag) bool {
	return slices.Contains([]string{"env", "label", "annotation"}, f.Name)
}

func isCommand(f *pflag.Flag) bool { return f.Name == "entrypoint" || f.Name == "cmd" }

func applyFlag(fs *pflag.FlagSet, f *pflag.Flag, value *node) error {
	given := f.Changed
	var err error
	switch {
	case isPairs(f) && value.kind == mapNode:
		var pairs []string
		for i, key := range value.keys {
			s, err := value.items[i].scalar(f.Name + " " + key.text)
			if err != nil {
				return err
			}
			pairs = append(pairs, key.text+"="+s)
		}
		array := f.Value.(pflag.SliceValue)
		if given { // the later one wins
			pairs = append(pairs, array.GetSlice()...)
		}
		if err = array.Replace(pairs); err == nil {
			f.Changed = true
		}
	case f.Value.Type() == "stringArray":
		var words []string
		if words, err = value.scalars(f.Name); err == nil && slices.Contains(words, "") {
			err = value.errorf("%s: its value is empty", f.Name)
		}
		if err == nil && !given {
			if err = f.Value.(pflag.SliceValue).Replace(words); err == nil {
				f.Changed = true
			}
		}
	case isCommand(f) && value.kind == listNode:
		var words []string
		if words, err = value.scalars(f.Name); err == nil && !given {
			b, err := json.Marshal(words)
			if err != nil {
				return err
			}
			return fs.Set(f.Name, string(b))
		}
	default:
		var s string
		if s, err = value.scalar(f.Name); err == nil && s == "" {
			err = value.errorf("%s: its value is empty", f.Name)
		}
		if err == nil && !given {
			if err = fs.Set(f.Name, s); err != nil {
				err = value.errorf("%s: %q is no %s", f.Name, s, typeName(f))
			}
		}
	}
	return err
}

func typeName(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "bool":
		return "true or false"
	case "int":
		return "number"
	}
	return "value"
}

// print writes the document of what the flags say.
func (f *fileFlags) print(w io.Writer, fs *pflag.FlagSet, args []string) error {
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
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	return errors.Join(enc.Encode(doc), enc.Close())
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

// schema is the JSON schema (2020-12) of documents, made of the flags; image.schema.json is what it prints.
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
		name, usage := pflag.UnquoteUsage(f)
		p := object{"description": strings.ReplaceAll(usage, "; repeatable", "")}
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
