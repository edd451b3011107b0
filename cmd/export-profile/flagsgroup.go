package main

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/cmd/export-profile/internal/manual"
)

// flagGroup is a heading of `help COMMAND` and the flags below it, in the order in which help shows them.
type flagGroup struct {
	heading string
	flags   string // names; a name such as cache/all is only that command's
}

// flagGroups assigns every flag to one heading. A flag has the same heading with every command,
// unless an entry names the command. What most people need comes first: what is in the image
// before where it comes from, and a command's own flags before those that many commands share.
var flagGroups = []flagGroup{
	{"common flags", "profile from tag entrypoint user previous"},
	{"what comes out", "format output tree sort top depth precise all bytes json-format writable env-file sbom attest attest/key key-password-file attestation-file digest-file man"},
	{"what goes in", "base platform ca-file with-nix-db sbom-in-image metadata no-profile bare file"},
	{"files and users", "add mkdir symlink whiteout layer owner mode allow-store-changes add-user add-group"},
	{"config", "env cmd workdir expose volume label annotation stop-signal author created os-version os-feature " +
		"healthcheck healthcheck-interval healthcheck-timeout healthcheck-start-period healthcheck-retries"},
	{"checks and limits", "check check-time max-size max-growth max-layer"},
	{"source and trust", "key require-signed-by allow-missing verify/attestation-file references store-dir verify-store trusted-public-key no-check-sigs require-sigs netrc"},
	{"layers and compression", "compression layers max-layers layers-file verify-previous max-waste"},
	{"cache", "cache no-cache verify-cache trusted-cache-key cache-key-file cache/older-than cache/max-size cache/all"},
	{"registry", "tls-verify registry-ca mount-from"},
	{"output", "json bars quiet debug sync print-file print-schema"},
}

// groupOf returns the index of a flag's group and its place there, or -1.
func groupOf(command, name string) (group, place int) {
	for _, entry := range []string{command + "/" + name, name} {
		for i, g := range flagGroups {
			if at := slices.Index(strings.Fields(g.flags), entry); at >= 0 {
				return i, at
			}
		}
	}
	return -1, 0
}

// documentedFlag is a flag as help, the man page and the manual describe it.
type documentedFlag struct {
	name, shorthand, arg, usage string
	commands                    []string // those that have the flag with this usage
	group, place                int
}

// describe returns what a flag's value is called, and what the flag does.
// If a usage starts with the value in backquotes, that word only names the value.
func describe(f *pflag.Flag) (arg, usage string) {
	arg, usage = pflag.UnquoteUsage(f)
	return arg, strings.TrimPrefix(usage, arg+" ")
}

// flagsOf returns a command's flags in the order of flagGroups.
func flagsOf(c command) (all []documentedFlag) {
	fs := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	c.setup(fs)
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		d := documentedFlag{name: f.Name, shorthand: f.Shorthand, commands: []string{c.name}}
		d.arg, d.usage = describe(f)
		if byDefault := defaultOf(f); byDefault != "" && !strings.Contains(d.usage, "(default") {
			d.usage += " (default " + byDefault + ")"
		}
		d.group, d.place = groupOf(c.name, f.Name)
		all = append(all, d)
	})
	slices.SortFunc(all, compareFlags)
	return all
}

func compareFlags(a, b documentedFlag) int {
	return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.place, b.place))
}

// defaultOf returns the value of a flag that is not given, or "" if that is none.
func defaultOf(f *pflag.Flag) string {
	if f.Value.Type() == "bool" || slices.Contains([]string{"0", "-1", "[]"}, f.DefValue) {
		return ""
	}
	return f.DefValue
}

// allFlags returns the flags of all commands, grouped.
// A flag that different commands explain differently appears once for each explanation.
func allFlags() (all []documentedFlag) {
	for _, c := range commands() {
		for _, d := range flagsOf(c) {
			same := slices.IndexFunc(all, func(o documentedFlag) bool { return o.name == d.name && o.arg == d.arg && o.usage == d.usage })
			if same < 0 {
				all = append(all, d)
				continue
			}
			all[same].commands = append(all[same].commands, c.name)
		}
	}
	slices.SortStableFunc(all, compareFlags)
	return all
}

// term returns how a flag is typed, such as --quiet, -q or --from SOURCE.
func (d documentedFlag) term() string {
	s := "--" + d.name
	if d.arg != "" {
		s += " " + d.arg
	}
	if d.shorthand != "" {
		s += ", -" + d.shorthand
	}
	return s
}

const (
	helpWidth  = 100 // columns of help
	flagIndent = 26  // columns to the left of a flag's usage
)

// groupedUsages lists flags under their headings. A flag's usage is beside it, or below if the flag is long.
func groupedUsages(flags []documentedFlag) string {
	var b strings.Builder
	for i, d := range flags {
		if i == 0 || flags[i-1].group != d.group {
			b.WriteString("\n" + flagGroups[d.group].heading + ":\n")
		}
		left := "  " + d.term()
		b.WriteString(left)
		if width := utf8.RuneCountInString(left); width > flagIndent-2 {
			b.WriteString("\n" + strings.Repeat(" ", flagIndent))
		} else {
			b.WriteString(strings.Repeat(" ", flagIndent-width))
		}
		lines := manual.Wrap(d.usage, helpWidth-flagIndent)
		b.WriteString(strings.Join(lines, "\n"+strings.Repeat(" ", flagIndent)) + "\n")
	}
	return b.String()
}
