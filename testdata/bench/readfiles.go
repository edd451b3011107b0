package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/export-profile/export-profile/rootfs"
)

// readers is how many files are read at a time.
const readers = 2

// readFiles opens and reads every file of a profile's closure once: the least that a check can do.
func readFiles(ctx context.Context, name string) error {
	closure, closeStore, err := findClosure(ctx, "/", name)
	if err != nil {
		return err
	}
	parts := make(chan rootfs.Part)
	errs := make([]error, readers)
	var workers sync.WaitGroup
	for i := range readers {
		workers.Go(func() {
			buf := make([]byte, 256<<10)
			for p := range parts {
				errs[i] = errors.Join(errs[i], readPart(p, buf))
			}
		})
	}
	for _, p := range closure.Parts(ctx) {
		parts <- p
	}
	close(parts)
	workers.Wait()
	return errors.Join(append(errs, closeStore())...)
}

// readPart reads the files of a store path.
func readPart(p rootfs.Part, buf []byte) error {
	for e, err := range p.Tree {
		if err != nil {
			return err
		}
		if !e.IsRegular() {
			continue
		}
		r, err := e.Open()
		if err != nil {
			return err
		}
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buf)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	return nil
}

// dropCaches empties the page cache, and the cache of directories and inodes.
func dropCaches() error {
	syscall.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		return &notAvailableError{fmt.Sprintf("an empty page cache: %v", err)}
	}
	return nil
}

// check checks the profile, with an empty cache of facts.
func (l *lab) check(dropped bool) (sample, error) {
	return l.reading(dropped, "sh", "-c", `"$@" || test $? = 3`, "sh",
		l.program, "check", "--quiet", "--profile", l.base.profile, "--cache", l.path("cache"))
}

// readOnce reads every file of the profile.
func (l *lab) readOnce(dropped bool) (sample, error) {
	return l.reading(dropped, self(), "-child", "read", l.base.profile)
}

// reading runs a command that reads the store, with an empty page cache or one that holds all files.
func (l *lab) reading(dropped bool, command ...string) (sample, error) {
	if dropped {
		if err := dropCaches(); err != nil {
			return sample{}, err
		}
	} else if _, err := l.output(self(), "-child", "read", l.base.profile); err != nil {
		return sample{}, err
	}
	return l.run(command...)
}
