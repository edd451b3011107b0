package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// usage is what is said when nothing is asked.
func usage() string {
	var b strings.Builder
	b.WriteString(`export-profile makes root filesystems and OCI images of Nix profiles,
without Nix, Docker or privileges.

examples:
  export-profile image oci:hello:v1                     this user's profile as an image
  export-profile image --profile ./result oci:hello:v1  what nix-build made
  export-profile image --from hello.export oci:hello:v1 on a machine without Nix
  export-profile rootfs ./root                          a root filesystem
  export-profile ./root                                 the same tree as the original script makes

commands:
`)
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-24s %s\n", strings.TrimSpace(c.name+" "+c.args), c.summary)
	}
	b.WriteString("\n`export-profile help COMMAND` explains one and lists its flags.\n")
	return b.String()
}

// explain is the help of one command: examples, rules, flags.
func (c command) explain() string {
	fs := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	fs.SortFlags = false
	c.setup(fs)
	var b strings.Builder
	fmt.Fprintf(&b, "usage: %s\n\n%s", strings.Join(strings.Fields("export-profile "+c.name+" "+c.args), " "), c.help)
	if fs.HasAvailableFlags() {
		fmt.Fprintf(&b, "\nflags:\n%s", fs.FlagUsagesWrapped(100))
	}
	return b.String()
}

const helpHelp = `examples:
  export-profile help
  export-profile help image
`

func setupHelp(*pflag.FlagSet) runFunc {
	return func(_ context.Context, t terminal, args []string) error {
		switch len(args) {
		case 0:
			fmt.Fprint(t.out, usage())
			return nil
		case 1:
		default:
			return usagef("", "help: want one command, not %d", len(args))
		}
		table := commands()
		i := slices.IndexFunc(table, func(c command) bool { return c.name == args[0] })
		if i < 0 {
			return unknownCommand(args[0])
		}
		fmt.Fprint(t.out, table[i].explain())
		return nil
	}
}

const versionHelp = `examples:
  export-profile version
`

func setupVersion(*pflag.FlagSet) runFunc {
	return func(_ context.Context, t terminal, args []string) error {
		if len(args) > 0 {
			return usagef("", "version: want no arguments, not %q", args[0])
		}
		version, goVersion := "unknown", ""
		if info, ok := debug.ReadBuildInfo(); ok {
			version, goVersion = info.Main.Version, info.GoVersion
		}
		fmt.Fprintf(t.out, "export-profile %s %s\n", version, goVersion)
		return nil
	}
}
