package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/pflag"
)

// command is one row of the table below.
type command struct {
	name    string
	args    string // after its name in the usage line
	summary string
	help    string // begins with examples
	setup   func(fs *pflag.FlagSet) runFunc
}

// runFunc runs a command after its flags are parsed.
type runFunc func(ctx context.Context, t terminal, args []string) error

// commands lists all commands in the order of help.
func commands() []command {
	return []command{
		{"image", "[flags] DEST", "make an OCI image from a profile", imageHelp, setupImage},
		{"rootfs", "[flags] DIR", "make a root filesystem from a profile", rootfsHelp, setupRootfs},
		{"index", "[flags] DEST IMAGE…", "join images for several platforms into one", indexHelp, setupIndex},
		{"closure", "[flags]", "list what a profile needs, with sizes", closureHelp, setupClosure},
		{"why", "[flags] [FROM] TO", "show what brings a package into a closure", whyHelp, setupWhy},
		{"plan", "[flags] [DEST]", "show what image would do, layer by layer", planHelp, setupPlan},
		{"check", "[flags] [IMAGE]", "find programs in an image that would not start", checkHelp, setupCheck},
		{"ls", "[flags] [PATH…]", "list the files in an image, with sizes", lsHelp, setupLs},
		{"diff", "[flags] A B", "compare two images or profiles", diffHelp, setupDiff},
		{"sbom", "[flags]", "write an SBOM, in SPDX or CycloneDX", sbomHelp, setupSBOM},
		{"attest", "[flags] IMAGE", "sign a statement of what is in an image", attestHelp, setupAttest},
		{"report", "[flags] [IMAGE [IMAGE]] FILE", "write an HTML page that shows what is in an image, and why, and what changed", reportHelp, setupReport},
		{"cache", "[flags] [prune|verify]", "show, prune or verify the cache", cacheHelp, setupCache},
		{"verify", "[flags] IMAGE", "check that an image is what it says it is", verifyHelp, setupVerify},
		{"doctor", "[flags]", "say what this machine can make an image of, and how", doctorHelp, setupDoctor},
		{"completion", "bash|zsh|fish", "print a completion script for a shell", completionHelp, setupCompletion},
		{"version", "[flags]", "print the version of this program", versionHelp, setupVersion},
		{"help", "[flags] [COMMAND|CHAPTER]", "explain a command, or print a chapter of the manual", helpHelp, setupHelp},
	}
}

// usageError is a wrong command line. The exit status is 2.
type usageError struct {
	msg, hint string
	problems  error // if msg lists several
}

func (e *usageError) Error() string { return e.msg }

func (e *usageError) Unwrap() error { return e.problems }

func usagef(hint, format string, args ...any) error {
	return &usageError{msg: fmt.Sprintf(format, args...), hint: hint}
}

// dispatch finds the command and runs it. It also returns whether messages are wanted as JSON.
func dispatch(ctx context.Context, args []string, t terminal) (asJSON bool, err error) {
	if len(args) == 0 {
		fmt.Fprint(t.err, usage())
		return false, usagef("", "no command")
	}
	switch args[0] {
	case "-h", "--help":
		args = []string{"help"}
	case "--version":
		args = []string{"version"}
	}
	table := commands()
	if i := slices.IndexFunc(table, func(c command) bool { return c.name == args[0] }); i >= 0 {
		return table[i].run(ctx, t, args[1:])
	}
	// A word that is no command takes the script's form, export-profile ROOTDIR.
	i := slices.IndexFunc(table, func(c command) bool { return c.name == "rootfs" })
	script := table[i]
	script.name, script.args, script.setup = "", "[flags] ROOTDIR", setupScript
	return script.run(ctx, t, args)
}

func (c command) run(ctx context.Context, t terminal, args []string) (asJSON bool, err error) {
	fs := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	fs.SetOutput(t.err)
	fs.Usage = func() {}
	fs.SortFlags = false
	fs.Bool("help", false, "") // also -h; handled below
	_ = fs.MarkHidden("help")
	run := c.setup(fs)
	switch err := fs.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(t.out, c.explain())
		return false, nil
	case err != nil:
		return asksForJSON(args), c.flagError(fs, args, err)
	}
	if help, _ := fs.GetBool("help"); help {
		fmt.Fprint(t.out, c.explain())
		return false, nil
	}
	asJSON, _ = fs.GetBool("json")
	if err := strayBool(fs, args); err != nil {
		return asJSON, err
	}
	if err := emptyFlags(fs); err != nil {
		return asJSON, err
	}
	if err := swallowedFlags(fs); err != nil {
		return asJSON, err
	}
	return asJSON, run(ctx, t, fs.Args())
}

// asksForJSON says whether --json is among words that are no command line.
func asksForJSON(args []string) bool {
	for _, word := range args {
		switch word {
		case "--json", "--json=true":
			return true
		case "--":
			return false
		}
	}
	return false
}

// foundError says that a command found a fault in what it examined. The exit status is 3.
type foundError struct {
	msg      string
	problems []string // if the command has no result that lists them
}

func (e *foundError) Error() string { return e.msg }
