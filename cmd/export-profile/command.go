package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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

// runFunc runs a command whose flags have been parsed.
type runFunc func(ctx context.Context, t terminal, args []string) error

// commands are all there are, in the order in which help lists them.
func commands() []command {
	return []command{
		{"image", "[flags] DEST", "make an OCI image of a profile", imageHelp, setupImage},
		{"rootfs", "[flags] DIR", "make a root filesystem of a profile", rootfsHelp, setupRootfs},
		{"index", "[flags] DEST IMAGE…", "join images for several platforms into one", indexHelp, setupIndex},
		{"closure", "[flags]", "list what a profile needs, with sizes", closureHelp, setupClosure},
		{"why", "[flags] [FROM] TO", "show what brings something into a closure", whyHelp, setupWhy},
		{"plan", "[flags] [DEST]", "show what image would do, layer by layer", planHelp, setupPlan},
		{"check", "[flags] [IMAGE]", "find out what would not start in an image", checkHelp, setupCheck},
		{"ls", "[flags] [PATH…]", "list what is in an image, with sizes", lsHelp, setupLs},
		{"diff", "[flags] A B", "show what is different between two images or profiles", diffHelp, setupDiff},
		{"sbom", "[flags]", "write a list of packages for other programs, in SPDX or CycloneDX", sbomHelp, setupSBOM},
		{"report", "[flags] FILE", "write a page that shows what is inside, and why", reportHelp, setupReport},
		{"cache", "[flags] [prune]", "show what is kept from run to run, or remove some of it", cacheHelp, setupCache},
		{"verify", "[flags] IMAGE", "find out whether an image is what it says it is", verifyHelp, setupVerify},
		{"completion", "bash|zsh|fish", "print a script by which a shell completes command lines", completionHelp, setupCompletion},
		{"version", "", "say which version this is", versionHelp, setupVersion},
		{"help", "[COMMAND]", "explain a command", helpHelp, setupHelp},
	}
}

// usageError is a wrong command line; it leads to exit status 2.
type usageError struct {
	msg, hint string
}

func (e *usageError) Error() string { return e.msg }

func usagef(hint, format string, args ...any) error {
	return &usageError{msg: fmt.Sprintf(format, args...), hint: hint}
}

// dispatch finds the command and runs it.
func dispatch(ctx context.Context, args []string, t terminal) error {
	if len(args) == 0 {
		fmt.Fprint(t.err, usage())
		return usagef("", "no command")
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
	// What is no command is the script's form, if it has a slash.
	i := slices.IndexFunc(table, func(c command) bool { return c.name == "rootfs" })
	script := table[i]
	script.name, script.args, script.setup = "", "[flags] ROOTDIR", setupScript
	return script.run(ctx, t, args)
}

func (c command) run(ctx context.Context, t terminal, args []string) error {
	fs := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	fs.SetOutput(t.err)
	fs.Usage = func() {}
	fs.SortFlags = false
	fs.Bool("help", false, "") // -h, too; shown by hand
	_ = fs.MarkHidden("help")
	run := c.setup(fs)
	switch err := fs.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(t.out, c.explain())
		return nil
	case err != nil:
		return c.flagError(fs, args, err)
	}
	if help, _ := fs.GetBool("help"); help {
		fmt.Fprint(t.out, c.explain())
		return nil
	}
	if err := strayBool(fs, args); err != nil {
		return err
	}
	if err := emptyFlags(fs); err != nil {
		return err
	}
	return run(ctx, t, fs.Args())
}

// strayBool refuses --tls-verify false, which says --tls-verify, and false is the first argument.
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

// emptyFlags refuses flags that were given with nothing for a value, as by a script whose variable is not set:
// to go on without would pass a limit that was meant, or read another store. No flag takes an empty value.
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
			wrong = append(wrong, usagef("leave it out if there is nothing to say", "--%s: its value is empty", f.Name))
		}
	})
	return errors.Join(wrong...)
}

// flagError says what is wrong with a flag, and which one may have been meant.
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
	if errors.As(err, &unknown) && strings.HasPrefix(unknown.GetSpecifiedName(), "health") {
		return usagef("give it to who runs the image, as in podman run --health-cmd, or a probe of Kubernetes",
			"%v: an OCI image has no health check, only Docker's own format has one", err)
	}
	if unknown != nil && unknown.GetSpecifiedName() == "base" && (c.name == "rootfs" || c.name == "") {
		return usagef("make an image with it: export-profile image --base oci:DIR:TAG …", "--base: a base image is only for an image, and not for a root filesystem")
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

// flagsFirst is an error for a command that was not taken for one, since flags were before it.
func flagsFirst(name string) error {
	return usagef(fmt.Sprintf("as in export-profile %s -q …", name), "flags come after the command, and %q is one", name)
}

func unknownCommand(word string) error {
	if isCommandName(word) {
		return flagsFirst(word)
	}
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	hint := fmt.Sprintf("for a root filesystem in a directory of that name, write ./%s", word)
	if near := cmp.Or(elsewhere()[word], nearest(word, names)); near != "" {
		hint = fmt.Sprintf("did you mean %s? %s", near, strings.ToUpper(hint[:1])+hint[1:])
	}
	return usagef(hint, "unknown command %q", word)
}

// elsewhere is what other programs call commands, and which of ours does that.
func elsewhere() map[string]string {
	return map[string]string{
		"build": "image", "push": "image … docker://REGISTRY/NAME", "save": "image … docker-archive:FILE",
		"du": "ls", "list": "ls", "tree": "closure --tree", "requisites": "closure", "path-info": "closure",
		"why-depends": "why", "diff-closures": "diff", "inspect": "verify", "lint": "check",
		"manifest": "index", "gc": "cache prune", "prune": "cache prune",
	}
}

// nearFlags are what a flag was probably meant to be: those with all its words in their names, or else the nearest.
func nearFlags(word string, names []string) []string {
	var has []string
	for _, name := range names {
		if strings.Contains("-"+name+"-", "-"+word+"-") {
			has = append(has, name)
		}
	}
	if len(has) > 0 && len(has) <= 3 {
		return has
	}
	if near := nearest(word, names); near != "" {
		return []string{near}
	}
	return nil
}

// nearest is the name that a word was probably meant to be, or "". Some of the word has to be in it.
func nearest(word string, names []string) string {
	best, bestAt := "", min(max(2, len(word)/3)+1, len(word))
	for _, name := range names {
		if at := editDistance(word, name); at < bestAt {
			best, bestAt = name, at
		}
	}
	return best
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
