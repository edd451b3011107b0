package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/rootfs"
)

const rootfsHelp = `examples:
  export-profile rootfs ./root
  export-profile rootfs --from hello.export --writable ./root
  export-profile rootfs tar:- | podman import - hello
  export-profile rootfs --env-file env ./root && podman run --env-file env --rootfs "$PWD/root" curl --version

Writes a root filesystem: the profile's closure in /nix/store; /run/profile; /etc with certificates;
accounts; /tmp; and /bin/sh and /usr/bin/env if the profile has them. DIR must not exist yet.
tar:FILE makes one tar instead; tar:- writes it to standard output.
No privilege is needed; without root, all files belong to you.

Directories of store objects are read-only, as in Nix. Without root, delete the tree with
chmod -R u+w DIR && rm -rf DIR; rm -rf DIR is enough after --writable.

` + "`export-profile ROOTDIR`" + `, with a slash in the name, makes the tree of the original script:
/run/profile is a tree of links, and there are no /tmp and no accounts, as with --bare.
`

type rootfsOptions struct {
	assemblyFlags
	outputFlags
	envFile     string
	writable    bool
	compression string // of tar:
}

func (o *rootfsOptions) flags(fs *pflag.FlagSet) {
	o.assemblyFlags.flags(fs)
	fs.BoolVar(&o.writable, "writable", false, "make directories writable for their owner, so that rm -rf can delete them")
	fs.StringVar(&o.compression, "compression", "", "`none|gzip|zstd[:LEVEL]` compress tar:FILE (default none)")
	fs.StringVar(&o.envFile, "env-file", "", "write PATH and the variables for certificates to `FILE`, for podman run --env-file")
	o.outputFlags.flags(fs)
}

func setupRootfs(fs *pflag.FlagSet) runFunc {
	o := &rootfsOptions{}
	o.flags(fs)
	return func(ctx context.Context, t terminal, args []string) error {
		if len(args) == 0 {
			return usagef(hereHint(ctx, fs, "rootfs", "./root"), "rootfs: want one directory, not 0")
		}
		if len(args) != 1 {
			return usagef(wordsHint("rootfs", args, "./root"), "rootfs: want one directory, not %d", len(args))
		}
		return o.run(ctx, t, args[0])
	}
}

// setupScript sets up export-profile ROOTDIR, which makes the same tree as the original script.
func setupScript(fs *pflag.FlagSet) runFunc {
	o := &rootfsOptions{}
	o.flags(fs)
	return func(ctx context.Context, t terminal, args []string) error {
		switch {
		case len(args) == 0:
			return usagef("as in export-profile ./root", "no command and no directory")
		case len(args) > 1 && strings.Contains(args[0], "/"):
			return usagef(wordsHint("", args, "./root"), "want one directory, not %d", len(args))
		case !strings.Contains(args[0], "/"):
			return unknownCommand(args[0])
		}
		o.bare = true
		return o.run(ctx, t, args[0])
	}
}

func (o *rootfsOptions) run(ctx context.Context, t terminal, dir string) (err error) {
	say := o.speaker(t)
	defer say.close()
	file, isTar := tarDestination(dir)
	if !isTar {
		if err := strayDirectory(dir); err != nil {
			return err
		}
	}
	if isTar && (o.writable || o.json) {
		return usagef("", "--writable and --json apply to a directory, not to tar:")
	}
	if !isTar && o.compression != "" {
		return usagef("as in export-profile rootfs --compression gzip tar:root.tar.gz", "--compression applies to tar:, not to a directory")
	}
	compression, err := parseCompression(cmp.Or(o.compression, "none"))
	if err != nil {
		return err
	}
	if compression.Chunked() {
		return usagef("as in --compression zstd", "--compression %s: only the manifest of an image says where its tables are", o.compression)
	}
	if len(o.metadataFiles) > 0 && o.assemblyFlags.sbom.word == "" {
		return usagef("as in --sbom-in-image spdx --metadata "+shellWord(o.metadataFiles[0]), "--metadata is about SBOMs: also use --sbom-in-image")
	}
	place := place{Archive: dir}
	if isTar {
		place.Archive = file
	}
	if err := distinct(resultFile{dir, place.file()}, resultFile{"--env-file " + o.envFile, o.envFile}); err != nil {
		return err
	}
	if _, err := os.Lstat(dir); err == nil && !isTar {
		return fmt.Errorf("write root filesystem %q: %w", dir, rootfs.ErrDirExists)
	}
	if _, err := os.Stat(filepath.Dir(filepath.Clean(dir))); errors.Is(err, fs.ErrNotExist) && !isTar {
		return makeFirst(fmt.Errorf("write root filesystem %q: %w", dir, err), filepath.Clean(dir))
	}
	a, err := o.assemble(ctx, t, say, ispec.Platform{})
	if err != nil {
		return err
	}
	defer say.closing(&err, a)

	env, err := newPendingFile(o.envFile, strings.Join(a.baseFiles.Env, "\n")+"\n")
	if err != nil {
		return err
	}
	defer env.remove(say)
	t.ballast.drop()
	if isTar {
		err = o.writeTar(ctx, t, say, a, file, compression)
	} else {
		err = o.writeDir(ctx, say, a, dir)
	}
	if err != nil {
		return err
	}
	if err := env.publish(); err != nil {
		return withHint(err, "the root filesystem is complete; only this file is missing")
	}
	a.deep.note(say)
	o.trim(say)
	if o.json {
		published(t.out, "the root filesystem is complete: %s", shellWord(dir))
		return printJSON(t.out, struct {
			Directory string `json:"directory"`
			contents
		}{dir, a.contents()})
	}
	return nil
}

// strayDirectory refuses words that mean something else than a directory.
func strayDirectory(word string) error {
	switch {
	case word == standardName:
		return usagef("did you mean tar:-?", "root filesystem %q: it would be a directory", word)
	case word == tarPrefix:
		return usagef("as in tar:root.tar, or tar:- for standard output", "root filesystem %q: no file", word)
	case strings.TrimSpace(word) == "":
		return usagef("as in export-profile rootfs ./root", "root filesystem %q: the directory's name is blank", word)
	case isImage(word):
		return usagef("did you mean export-profile image "+word+"?", "root filesystem %q: an image, not a directory", word)
	}
	return nil
}

func (o *rootfsOptions) writeDir(ctx context.Context, say *speaker, a *assembly, dir string) error {
	parts := a.overlay.Flatten()
	if os.Geteuid() != 0 {
		if err := o.noteOwners(parts, say); err != nil {
			return err
		}
	}
	writing := say.progress("writing", a.closure.Size())
	defer writing.done()
	return rootfs.WriteDir(ctx, dir, parts, rootfs.DirOptions{Writable: o.writable, Progress: writing.add})
}

// noteOwners notes the owners that only root could set.
func (o *rootfsOptions) noteOwners(parts []rootfs.Part, say *speaker) error {
	const most = 10
	n := 0
	for _, p := range parts {
		if p.Root != "" && (p.Key != "" || !o.allowStoreChanges) {
			continue // an unchanged store object belongs to root, and walking it may read it
		}
		for e, err := range p.Tree {
			if err != nil {
				return err
			}
			if e.UID == 0 && e.GID == 0 {
				continue
			}
			if n++; n <= most {
				say.notef("%q belongs to the current user, not to %d:%d: only root, or an image, can set that owner", "/"+e.Path, e.UID, e.GID)
			}
		}
	}
	if n > most {
		say.notef("%d more files belong to the current user", n-most)
	}
	return nil
}
