package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/cmd/export-profile/internal/manual"
)

const (
	introduction = `export-profile makes root filesystems and OCI images from profiles of Nix and Guix,
without Nix, Guix, Docker or privileges.
`

	usageExamples = `examples:
  export-profile doctor                                  say what an image can be made of here, and how
  export-profile image oci:hello:v1                      make an image of this user's profile
  export-profile image --profile ./result oci:hello:v1   make an image of what nix-build made
  export-profile image --from hello.export oci:hello:v1  the same on a machine without Nix
  export-profile rootfs ./root                           make a root filesystem
  export-profile ./root                                  make the tree that the original script makes
`
)

// usage returns the help of the program as a whole.
func usage() string {
	var b strings.Builder
	b.WriteString(introduction + "\n" + usageExamples + "\ncommands:\n")
	width := 0
	for _, c := range commands() {
		width = max(width, utf8.RuneCountInString(c.name+" "+c.args))
	}
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-*s %s\n", width, strings.TrimSpace(c.name+" "+c.args), c.summary)
	}
	b.WriteString("\nchapters of the manual:\n")
	for _, line := range manual.Wrap(strings.Join(chapterNames(), ", "), helpWidth-2) {
		b.WriteString("  " + line + "\n")
	}
	b.WriteString("\n`export-profile help COMMAND` explains a command and lists its flags.\n" +
		"`export-profile help CHAPTER` prints a chapter, and `export-profile help manual` lists what is in them.\n")
	return b.String()
}

// synopsis returns how the command is typed.
func (c command) synopsis() string {
	return strings.Join(strings.Fields("export-profile "+c.name+" "+c.args), " ")
}

// explain returns the help of one command: examples, explanation, flags, and the chapters of the manual about it.
func (c command) explain() string {
	text := fmt.Sprintf("usage: %s\n\n%s%s", c.synopsis(), c.help, groupedUsages(flagsOf(c)))
	if names := chaptersAbout(c.name); len(names) > 0 {
		text += "\nchapters of the manual about it, which `export-profile help CHAPTER` prints:\n"
		for _, line := range manual.Wrap(strings.Join(names, ", "), helpWidth-2) {
			text += "  " + line + "\n"
		}
	}
	return text
}

// exitStatuses lists the exit statuses of all commands.
var exitStatuses = []struct{ status, meaning string }{
	{"0", "The command did what was asked."},
	{"1", "The command failed."},
	{"2", "The command line is wrong."},
	{"3", "The command found what it looks for: problems (verify), errors (check, image --check), " +
		"a size above a limit (diff --max-size, diff --max-growth, image --max-size), " +
		"damage in the cache (cache verify), or nothing to make an image of (doctor)."},
}

// helpEnvironment lists the variables that the program reads.
var helpEnvironment = []struct{ names, meaning string }{
	{"NIX_PROFILE, NIX_STATE_HOME, XDG_STATE_HOME, HOME, USER", "They locate this user's profile, as in Nix, when neither --profile nor --from is given."},
	{"XDG_CACHE_HOME, HOME", "They locate the cache. Without both, and without --cache, there is no cache."},
	{"TMPDIR", "The directory of large temporary files when there is no cache. The default is /var/tmp."},
	{"REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR, XDG_CONFIG_HOME, DOCKER_CONFIG, HOME", "They locate the logins for registries."},
	{"HTTPS_PROXY, HTTP_PROXY, NO_PROXY", "The proxy for binary caches and registries."},
	{"DOCKER_HOST, CONTAINERS_STORAGE_CONF", "doctor looks there for Docker's daemon and for podman's configuration."},
	{"TERM", "If it is dumb, neither progress nor sizes are drawn as bars."},
	{"GOGC, GOMEMLIMIT, GOMAXPROCS", fmt.Sprintf("Limits of the Go runtime. The program sets GOGC to %d unless you set it.", gcPercent)},
}

// helpFiles lists the files and directories that the program reads without being told to.
var helpFiles = []struct{ names, meaning string }{
	{"/nix/store, /nix/var/nix/db/db.sqlite", "This machine's store, read when --from is not given."},
	{"/gnu/store, /var/guix/db/db.sqlite", "The same on a machine that has only Guix, or with --store-dir /gnu/store."},
	{"~/.nix-profile", "This user's profile. Nix's newer places for it are tried next."},
	{"~/.guix-profile", "This user's profile in a store of Guix, or else /var/guix/profiles/per-user/$USER/guix-profile."},
	{"$XDG_CACHE_HOME/export-profile", "The cache. The default of $XDG_CACHE_HOME is ~/.cache. It can be deleted at any time."},
	{"~/.netrc", "Logins for servers that are binary caches."},
	{"$XDG_RUNTIME_DIR/containers/auth.json, ~/.config/containers/auth.json, ~/.docker/config.json", "Logins for registries, in this order, as podman login and docker login write them. " +
		"Without $XDG_RUNTIME_DIR, the first is /run/containers/UID/auth.json, or where podman without root writes instead."},
}

const helpHelp = `examples:
  export-profile help
  export-profile help image
  export-profile help trust
  export-profile help manual
  export-profile help --man > export-profile.1

Explains the program or one command, or prints a chapter of the manual, which is in the program.
The chapter manual lists the others. With --man, prints a manual page of all commands;
man -l export-profile.1 shows it.
`

func setupHelp(fs *pflag.FlagSet) runFunc {
	man := fs.Bool("man", false, "print a manual page of all commands")
	return func(_ context.Context, t terminal, args []string) error {
		switch {
		case len(args) > 1:
			words := args[:1]
			if chapter := strings.Join(args, "-"); slices.Contains(chapterNames(), chapter) {
				words = []string{chapter}
			}
			return usagef("as in export-profile help "+words[0], "help: want one command or chapter, not %d words", len(args))
		case *man && len(args) > 0:
			return usagef("leave out "+args[0], "help: --man is about all commands")
		}
		text, err := helpText(*man, strings.Join(args, ""), textWidth(t.out))
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(t.out, text)
		return err
	}
}

// helpText returns the manual page, or the help of the program as a whole, of a command, or of a chapter in lines of a width.
func helpText(man bool, word string, width int) (string, error) {
	if man {
		return manPage(buildDate()), nil
	}
	if word == "" {
		return usage(), nil
	}
	for _, c := range commands() {
		if c.name == word {
			return c.explain(), nil
		}
	}
	if word == contentsName {
		return contentsText(), nil
	}
	for _, c := range chapters() {
		if c.name == word {
			return c.text(width), nil
		}
	}
	return "", noHelp(word)
}
