package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/rootfs"
)

// runChild does the work for which this program runs itself. A child is measured like other commands,
// and its memory does not remain in the parent.
func runChild(ctx context.Context, name string, args []string) error {
	switch {
	case name == "bound" && len(args) == 2:
		return compressFromMemory(ctx, os.Stdout, args[0], args[1])
	case name == "compress" && len(args) == 0:
		return compressStream(os.Stdin, os.Stdout)
	case name == "memory" && len(args) == 0:
		return touchMemory()
	case name == "plan" && len(args) == 1:
		return planStore(ctx, args[0])
	case name == "read" && len(args) == 1:
		return readFiles(ctx, args[0])
	case name == "subset" && len(args) == 3:
		return subset(ctx, args[0], args[1], args[2])
	case name == "large-store" && len(args) == 2:
		count, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return largeStore(ctx, args[0], count)
	case name == "synthesize" && len(args) >= 3:
		count, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		references, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return synthesize(args[0], count, references, len(args) == 4)
	}
	return fmt.Errorf("child %q: unknown", name)
}

// compression is the default of images, written out because compressStream must do the same.
const compression = "gzip:2"

func compressStream(r io.Reader, w io.Writer) error {
	z, err := gzip.NewWriterLevel(w, 2)
	if err != nil {
		return err
	}
	_, err = io.Copy(z, bufio.NewReaderSize(r, 1<<20))
	return errors.Join(err, z.Close())
}

// enoughMemory is enough for all that one action writes.
const enoughMemory = 3 << 30

// touchMemory allocates memory, so that the kernel has it available once this process has ended.
func touchMemory() error {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return err
	}
	size := min(enoughMemory, info.Freeram*uint64(info.Unit)/2)
	_, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	return err
}

// planStore does all the work for an image that comes before reading the first file.
func planStore(ctx context.Context, root string) error {
	object, err := os.ReadFile(root + "/object")
	if err != nil {
		return err
	}
	closure, close, err := findClosure(ctx, root, string(object))
	if err != nil {
		return err
	}
	layers, err := planClosure(ctx, closure)
	if err == nil {
		fmt.Println(len(closure.Infos), "paths,", len(layers), "layers")
	}
	return errors.Join(err, close())
}

// findClosure opens the store in a root and finds the closure of a profile. The function that it returns closes the store.
func findClosure(ctx context.Context, root, name string) (*profile.Closure, func() error, error) {
	store, err := localstore.Open(ctx, root, localstore.Options{})
	if err != nil {
		return nil, nil, err
	}
	p, err := profile.Resolve(ctx, store, name)
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	closure, err := profile.FindClosure(ctx, store, p.Path)
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	return closure, store.Close, nil
}

func planClosure(ctx context.Context, c *profile.Closure) ([]ocilayout.Layer, error) {
	base := rootfs.Part{Name: "base"}
	for _, p := range c.Roots {
		base.Refs = append(base.Refs, p.Root())
	}
	return ocilayout.Plan(append(c.Parts(ctx), base), plan.Options{})
}

// subset copies the listed store objects of a profile to a new root.
// There they only refer to each other, and the profile refers to all of them.
func subset(ctx context.Context, name, list, root string) error {
	closure, close, err := findClosure(ctx, "/", name)
	if err != nil {
		return err
	}
	defer close()
	b, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	listed := make(map[profile.Path]bool)
	var paths []profile.Path
	for _, word := range strings.Fields(string(b)) {
		listed[profile.Path("/"+word)] = true
		paths = append(paths, profile.Path("/"+word))
	}
	db, err := createDB(root)
	if err != nil {
		return err
	}
	args := []string{"-a", "-t", root + "/nix/store"}
	for _, info := range closure.Infos {
		if !listed[info.Path] {
			continue
		}
		args = append(args, string(info.Path))
		references := paths
		if info.Path != closure.Roots[0] {
			references = nil
			for _, p := range info.References {
				if listed[p] {
					references = append(references, p)
				}
			}
		}
		if err := db.add(info.Path, info.NarHash, info.NarSize, references); err != nil {
			return err
		}
	}
	if err := db.close(); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "cp", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cp: %w\n%s", err, out)
	}
	return nil
}
