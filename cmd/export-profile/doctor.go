package main

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/localstore"
)

const doctorHelp = `examples:
  export-profile doctor
  export-profile doctor --json

Says what this machine has to make an image of and to run it with, and the command that does it:
its store, this user's profile, result links and sources in the working directory, the cache,
logins for registries, and container tools. For each problem it says what to type next.

doctor only reads. It prints no login, and contacts no registry: to see whether a registry takes a login,
use export-profile plan docker://REGISTRY/NAME. It runs container tools only to ask for their version.
A file is recognised as a source by its beginning, so another command may still find it damaged.

If doctor finds nothing that an image can be made of, it exits with status 3.
Other problems do not change the status.
`

func setupDoctor(fs *pflag.FlagSet) runFunc {
	o := &outputFlags{}
	o.jsonFlag(fs)
	return func(ctx context.Context, t terminal, args []string) error {
		if err := noOperands("doctor", args); err != nil {
			return err
		}
		d := &doctor{root: "/"}
		d.look(ctx)
		d.askTools(ctx)
		if err := d.print(t, o.json); err != nil {
			return err
		}
		if len(d.Commands) == 0 {
			return &foundError{msg: "doctor: found nothing to make an image of"}
		}
		return nil
	}
}

// doctor looks at a machine. Each of its methods called find… fills a part of the result and adds the problems that it finds.
type doctor struct {
	root  string            // of the file system with the store and Docker's socket: "/", except in tests
	store *localstore.Store // the store that image would read; nil if there is none

	byDefault profile.StoreDir // of the store that image reads without --store-dir

	doctorResult
}

// look finds all but the versions of tools.
func (d *doctor) look(ctx context.Context) {
	info, _ := debug.ReadBuildInfo()
	d.Version, d.Platform = versionOf(info).Version, runtime.GOOS+"/"+runtime.GOARCH
	d.lookForImage(ctx)
	d.findCache()
	d.findLogins()
	d.findEnvironment()
	d.suggest()
}

// lookForImage finds what an image can be made of, and the tools that can load it.
func (d *doctor) lookForImage(ctx context.Context) {
	d.findStores(ctx)
	if d.store != nil {
		defer d.store.Close() // it was only read, so an error does not matter
	}
	d.findProfile(ctx)
	d.findResults(ctx)
	d.findSources()
	d.findTools(ctx)
}

// hereHint returns what to type after a command without a destination: the command that uses what this machine has, or an example.
// If the user has given flags, they say what to use.
func hereHint(ctx context.Context, fs *pflag.FlagSet, command, example string) string {
	example = "as in export-profile " + command + " " + example
	if fs.NFlag() > 0 {
		return example
	}
	d := &doctor{root: "/"}
	d.lookForImage(ctx)
	m, ok := d.material()
	switch {
	case !ok:
		return example + "; export-profile doctor says what it can be made of"
	case command == "image":
		return "for " + m.what + " here: " + d.loadCommands(m)[0]
	}
	return "for " + m.what + " here: export-profile " + command + m.flags + " ./root"
}
