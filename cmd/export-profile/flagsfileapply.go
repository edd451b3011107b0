package main

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/spf13/pflag"
)

// imageFlagsOver returns the flags of image, with those of the command in place of its own.
func imageFlagsOver(own *pflag.FlagSet) *pflag.FlagSet {
	image := pflag.NewFlagSet("image", pflag.ContinueOnError)
	all := pflag.NewFlagSet("image", pflag.ContinueOnError)
	setupImage(image)
	image.SortFlags, all.SortFlags = false, false // nearest prefers the first in the order of help
	image.VisitAll(func(f *pflag.Flag) {
		if mine := own.Lookup(f.Name); mine != nil {
			f = mine
		}
		all.AddFlag(f)
	})
	return all
}

// applyImageFile sets the flags that the command line has not set. It reports all errors at once.
func applyImageFile(fs *pflag.FlagSet, b []byte) (destination string, err error) {
	root, err := parseImageFile(b)
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

// scalars returns the words of a list, or a single word.
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

// isPairs says whether a flag takes NAME=VALUE.
func isPairs(f *pflag.Flag) bool {
	return slices.Contains([]string{"env", "label", "annotation"}, f.Name)
}

// isCommand says whether a flag takes a command's words.
func isCommand(f *pflag.Flag) bool {
	return slices.Contains([]string{"entrypoint", "cmd", "healthcheck"}, f.Name)
}

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
		if given { // the command line wins, as the later one
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
