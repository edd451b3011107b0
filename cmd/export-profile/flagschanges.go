package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/export-profile/export-profile/rootfs/overlay"
)

// changeKinds are the flags whose order matters.
var changeKinds = []struct{ name, usage string }{
	{"add", "`SRC:DST[:MODE[:UID[:GID]]]` add a file, or the contents of a directory or tar; - is standard input; repeatable"},
	{"mkdir", "`DST[:MODE[:UID[:GID]]]` add a directory; repeatable"},
	{"symlink", "`TARGET:DST` add a symbolic link; repeatable"},
	{"whiteout", "hide `DST` and everything below it; repeatable"},
	{"layer", "put the changes that follow into another layer"},
}

// change is one such flag with its value.
type change struct{ kind, word string }

// changeFlags has all changes in order.
type changeFlags struct{ changes []change }

func (c *changeFlags) flags(fs *pflag.FlagSet) {
	for _, k := range changeKinds {
		f := fs.VarPF(&changeValue{c, k.name}, k.name, "", k.usage)
		if k.name == "layer" {
			f.NoOptDefVal = "true"
		}
	}
}

// changeValue appends the values of one flag to all changes.
type changeValue struct {
	all  *changeFlags
	kind string
}

func (v *changeValue) String() string { return "" }

func (v *changeValue) Type() string {
	if v.kind == "layer" {
		return "bool" // --layer takes no value
	}
	return "change"
}

func (v *changeValue) Set(word string) error {
	if v.kind == "layer" {
		if word != "true" {
			return errors.New("--layer takes no value")
		}
		word = ""
	}
	v.all.changes = append(v.all.changes, change{v.kind, word})
	return nil
}

func isChange(f *pflag.Flag) bool { _, ok := f.Value.(*changeValue); return ok }

// changesOf returns the changes of a flag set, or nil.
func changesOf(fs *pflag.FlagSet) *changeFlags {
	if f := fs.Lookup(changeKinds[0].name); f != nil && isChange(f) {
		return f.Value.(*changeValue).all
	}
	return nil
}

// applyChanges puts the changes of an image file before those of the command line, so that the latter win.
func applyChanges(fs *pflag.FlagSet, list *node) error {
	all := changesOf(fs)
	if list.kind != listNode || all == nil {
		return list.errorf("changes: want a list")
	}
	var changes []change
	for _, item := range list.items {
		if item.kind != mapNode || len(item.keys) != 1 {
			return item.errorf("changes: want one of %s with its value", changeNames())
		}
		kind, value := item.keys[0], item.items[0]
		if !slices.ContainsFunc(changeKinds, func(k struct{ name, usage string }) bool { return k.name == kind.text }) {
			return kind.errorf("changes: %q is none of %s", kind.text, changeNames())
		}
		word, err := value.scalar(kind.text)
		switch {
		case kind.text != "layer":
		case value.kind == nullNode || err == nil && word == "true":
			word, err = "", nil
		default:
			err = value.errorf("layer: want true or no value")
		}
		if err != nil {
			return err
		}
		changes = append(changes, change{kind.text, word})
	}
	all.changes = append(changes, all.changes...)
	return nil
}

func changeNames() string {
	var names []string
	for _, k := range changeKinds {
		names = append(names, k.name)
	}
	return strings.Join(names, ", ")
}

// changesNode returns the changes as a value of an image file, or nil if there are none.
func changesNode(fs *pflag.FlagSet) *yaml.Node {
	all := changesOf(fs)
	if all == nil || len(all.changes) == 0 {
		return nil
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, c := range all.changes {
		value := yamlString(c.word)
		if c.kind == "layer" {
			value = &yaml.Node{Kind: yaml.ScalarNode, Value: "true"}
		}
		list.Content = append(list.Content, &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{yamlString(c.kind), value}})
	}
	return list
}

// changeSchema returns the JSON schema of one change.
func changeSchema() map[string]any {
	properties := make(map[string]any)
	for _, k := range changeKinds {
		description := schemaDescription(&pflag.Flag{Usage: k.usage, Value: &changeValue{}})
		p := map[string]any{"type": "string", "description": description}
		if k.name == "layer" {
			p["type"] = []string{"boolean", "null"}
		}
		properties[k.name] = p
	}
	return properties
}

// overlayFlags are the changes on top of the profile.
type overlayFlags struct {
	changeFlags
	owners, modes     []string
	allowStoreChanges bool
}

func (f *overlayFlags) flags(fs *pflag.FlagSet) {
	f.changeFlags.flags(fs)
	fs.StringArrayVar(&f.owners, "owner", nil, "`GLOB=UID[:GID]` set the owner of matching files, such as /srv/**=33; repeatable, the last match wins")
	fs.StringArrayVar(&f.modes, "mode", nil, "`GLOB=MODE` set the mode of matching files, such as /etc/app/*=0640; repeatable, the last match wins")
	fs.BoolVar(&f.allowStoreChanges, "allow-store-changes", false, "allow these changes to store objects, which then no longer match their hashes")
}

// options parses the flags. It reports all errors at once.
func (f *overlayFlags) options() (o overlay.Options, err error) {
	o.AllowStoreChanges = f.allowStoreChanges
	var wrong []error
	check := func(flag string, err error) {
		if err != nil {
			wrong = append(wrong, usagef("", "--%s: %v", flag, err))
		}
	}
	parse := map[string]func(string) (overlay.Change, error){
		"add": overlay.ParseAdd, "mkdir": overlay.ParseMkdir, "symlink": overlay.ParseSymlink, "whiteout": overlay.ParseWhiteout,
	}
	var layer []overlay.Change
	for _, c := range f.changes {
		if c.kind == "layer" {
			if len(layer) > 0 {
				o.Layers = append(o.Layers, layer)
			}
			layer = nil
			continue
		}
		change, err := parse[c.kind](c.word)
		check(c.kind, err)
		layer = append(layer, change)
	}
	if len(layer) > 0 {
		o.Layers = append(o.Layers, layer)
	}
	for _, word := range f.owners {
		rule, err := overlay.ParseOwner(word)
		check("owner", err)
		o.Rules = append(o.Rules, rule)
	}
	for _, word := range f.modes {
		rule, err := overlay.ParseMode(word)
		check("mode", err)
		o.Rules = append(o.Rules, rule)
	}
	return o, errors.Join(wrong...)
}

// readsStdin says whether a change reads standard input.
func readsStdin(o overlay.Options) bool {
	for _, layer := range o.Layers {
		if slices.ContainsFunc(layer, func(c overlay.Change) bool { return c.Word == overlay.Add && c.Source == overlay.Standard }) {
			return true
		}
	}
	return false
}
