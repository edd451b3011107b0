package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// strayBool refuses --tls-verify false, which pflag reads as --tls-verify=true and an argument "false".
func strayBool(fs *pflag.FlagSet, args []string) error {
	for i, word := range args {
		if word == "--" {
			break
		}
		if i == 0 || word != "true" && word != "false" || !slices.Contains(fs.Args(), word) {
			continue
		}
		name, ok := strings.CutPrefix(args[i-1], "--")
		if f := fs.Lookup(name); ok && f != nil && f.NoOptDefVal == "true" {
			return usagef(fmt.Sprintf("write --%s=%s", name, word), "--%s %s: the value of a flag that is true or false comes after =", name, word)
		}
	}
	return nil
}

// emptyFlags refuses flags with an empty value, as from a script with an unset variable.
// Ignoring such a flag could lift a limit or read another store. No flag takes an empty value.
func emptyFlags(fs *pflag.FlagSet) error {
	var wrong []error
	fs.Visit(func(f *pflag.Flag) {
		empty := false
		switch v := f.Value.(type) {
		case pflag.SliceValue:
			empty = slices.Contains(v.GetSlice(), "")
		default:
			empty = v.Type() == "string" && v.String() == ""
		}
		if empty {
			wrong = append(wrong, usagef("leave the flag out if it has no value", "--%s: its value is empty", f.Name))
		}
	})
	return errors.Join(wrong...)
}

// flagError explains what is wrong with a flag, and suggests the one that was meant.
func (c command) flagError(fs *pflag.FlagSet, args []string, err error) error {
	var unknown *pflag.NotExistError
	if c.name == "" && strings.HasPrefix(args[0], "-") && errors.As(err, &unknown) {
		if i := slices.IndexFunc(args, isCommandName); i > 0 {
			return flagsFirst(args[i])
		}
	}
	if c.name == "" && len(args) > 0 && !strings.HasPrefix(args[0], "-") && !strings.Contains(args[0], "/") {
		return unknownCommand(args[0])
	}
	hint := fmt.Sprintf("`%s --help` lists the flags", strings.TrimSpace("export-profile "+c.name))
	if errors.As(err, &unknown) && unknown.GetSpecifiedName() == "health-cmd" {
		return usagef("did you mean --healthcheck?", "%v", err)
	}
	if unknown != nil && unknown.GetSpecifiedName() == "base" && (c.name == "rootfs" || c.name == "") {
		return usagef("make an image: export-profile image --base oci:DIR:TAG …", "--base: a root filesystem has no base image")
	}
	if unknown != nil {
		var names []string
		fs.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := nearFlags(unknown.GetSpecifiedName(), names); len(near) > 0 {
			hint = fmt.Sprintf("did you mean --%s?", strings.Join(near, " or --"))
		}
	}
	return usagef(hint, "%v", err)
}

func isCommandName(word string) bool {
	return slices.ContainsFunc(commands(), func(c command) bool { return c.name == word })
}

// flagsFirst is the error for flags before the command.
func flagsFirst(name string) error {
	return usagef(fmt.Sprintf("write the command first: export-profile %s FLAGS …", name), "flags come after the command %q", name)
}

func unknownCommand(word string) error {
	if isCommandName(word) {
		return flagsFirst(word)
	}
	hint := fmt.Sprintf("for a root filesystem in a directory of that name, write ./%s", word)
	if near := nearCommand(word); near != "" {
		hint = fmt.Sprintf("did you mean %s? %s", near, strings.ToUpper(hint[:1])+hint[1:])
	}
	if slices.Contains(chapterNames(), word) {
		hint = fmt.Sprintf("`export-profile help %s` prints that chapter of the manual; %s", word, hint)
	}
	return usagef(hint, "unknown command %q", word)
}

// noHelp returns the error for help about a word that is neither a command nor a chapter.
func noHelp(word string) error {
	hint := "`export-profile help` lists the commands and the chapters of the manual"
	near := nearChapters(word)
	if slices.Contains(chapterNames(), word) {
		near = []string{word}
	}
	if command := nearCommand(word); command != "" && !slices.Contains(near, command) {
		near = append([]string{command}, near...)
	}
	if len(near) > 0 {
		hint = fmt.Sprintf("did you mean %s? %s", strings.Join(near, " or "), hint)
	}
	return usagef(hint, "no command or chapter %q", word)
}

// nearCommand returns the command that a word probably means, or "".
func nearCommand(word string) string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return cmp.Or(otherCommands()[word], nearest(word, names))
}

// otherCommands maps the commands of other programs to ours.
func otherCommands() map[string]string {
	return map[string]string{
		"build": "image", "push": "image … docker://REGISTRY/NAME", "save": "image … docker-archive:FILE",
		"du": "ls", "list": "ls", "tree": "closure --tree", "requisites": "closure", "path-info": "closure",
		"why-depends": "why", "diff-closures": "diff", "inspect": "verify", "lint": "check",
		"info": "doctor", "status": "doctor", "manifest": "index", "gc": "cache prune", "prune": "cache prune",
	}
}
