package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

const completionHelp = `examples:
  source <(export-profile completion bash)
  export-profile completion bash > /usr/share/bash-completion/completions/export-profile
  export-profile completion zsh > "${fpath[1]}/_export-profile"
  export-profile completion fish > ~/.config/fish/completions/export-profile.fish

Prints a script that completes commands, flags and the values of flags. It leaves everything else
to the shell, which completes file names. The script does not run export-profile.
`

// shells maps each supported shell to the function that writes its script.
func shells() map[string]func(io.Writer, []completedCommand) error {
	return map[string]func(io.Writer, []completedCommand) error{"bash": completeBash, "zsh": completeZsh, "fish": completeFish}
}

func setupCompletion(*pflag.FlagSet) runFunc {
	return func(_ context.Context, t terminal, args []string) error {
		const example = "as in source <(export-profile completion bash)"
		if len(args) != 1 {
			return usagef(example, "completion: want one shell, not %d", len(args))
		}
		if shells()[args[0]] == nil {
			return usagef(example, "completion: want bash, zsh or fish, not %q", args[0])
		}
		return shells()[args[0]](t.out, completedCommands())
	}
}

// completedCommand is a command in a completion script.
type completedCommand struct {
	name, summary string
	flags         []completedFlag
	operands      []string // words or prefixes of words
}

type completedFlag struct {
	name, short, summary string
	takesValue           bool
	values               []string // all possible values, or nil
}

func completedCommands() (all []completedCommand) {
	table := commands()
	for _, c := range table {
		done := completedCommand{name: c.name, summary: c.summary}
		fs := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
		fs.SortFlags = false
		c.setup(fs)
		fs.VisitAll(func(f *pflag.Flag) {
			if f.Hidden {
				return
			}
			name, usage := describe(f)
			flag := completedFlag{name: f.Name, short: f.Shorthand, summary: firstClause(usage), takesValue: f.NoOptDefVal == ""}
			if strings.Contains(name, "|") && flag.takesValue {
				flag.values = alternatives(name)
			}
			done.flags = append(done.flags, flag)
		})
		for _, word := range strings.Fields(c.args) {
			switch {
			case word == "A", strings.Contains(word, "DEST"), strings.Contains(word, "IMAGE"):
				done.operands = append(done.operands, prefixes()...)
			case word == "[COMMAND|CHAPTER]":
				for _, other := range table {
					done.operands = append(done.operands, other.name)
				}
				done.operands = append(done.operands, append(chapterNames(), contentsName)...)
			case strings.Contains(word, "|"):
				done.operands = alternatives(strings.Trim(word, "[]"))
			}
		}
		slices.Sort(done.operands)
		done.operands = slices.Compact(done.operands)
		all = append(all, done)
	}
	return all
}

// alternatives returns the words of none|gzip|zstd[:LEVEL] without the optional parts, or nil for OS/ARCH and the like.
func alternatives(name string) (words []string) {
	for word := range strings.SplitSeq(name, "|") {
		word, _, _ = strings.Cut(word, "[")
		if word == "" || word == strings.ToUpper(word) && word != strings.ToLower(word) {
			return nil
		}
		words = append(words, word)
	}
	return words
}

// firstClause shortens the usage of a flag to fit on its line.
func firstClause(usage string) string {
	if i := strings.IndexAny(usage, ";:("); i >= 0 {
		usage = usage[:i]
	}
	return strings.TrimSpace(usage)
}

// valueFlags returns the flags that take a value. Each occurs once, since a flag means the same in every command.
func valueFlags(all []completedCommand) (flags []completedFlag) {
	for _, c := range all {
		for _, f := range c.flags {
			if f.takesValue && !slices.ContainsFunc(flags, func(other completedFlag) bool { return other.name == f.name }) {
				flags = append(flags, f)
			}
		}
	}
	return flags
}

func commandNames(all []completedCommand) (names []string) {
	for _, c := range all {
		names = append(names, c.name)
	}
	return names
}
