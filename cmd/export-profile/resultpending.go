package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/export-profile/export-profile/rootfs/staging"
)

// pending is a small file beside a larger result. It is written before the result is visible,
// so that all that can fail has failed by then, and takes its name after it.
// Until then it lies in a directory of its own, where no other run and no other user writes.
// A nil one is a file that nobody asked for.
type pending struct {
	name, temp string
	staging    *staging.Dir
}

// newPending writes the file; it is nil if name is empty.
func newPending(name, content string) (_ *pending, err error) {
	if name == "" {
		return nil, nil
	}
	if fi, err := os.Stat(name); err == nil && fi.IsDir() {
		return nil, fmt.Errorf("write %q: it is a directory", name)
	}
	dir, base := filepath.Dir(name), filepath.Base(name)
	// What a killed run left is litter, unless nobody may look for it.
	if err := staging.Clean(dir, base, nil); err != nil && !errors.Is(err, fs.ErrPermission) {
		return nil, makeFirst(fmt.Errorf("write %q: %w", name, err), name)
	}
	staging, err := staging.New(dir, base)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) { // of a name that nobody has chosen
			err = path.Err
		}
		return nil, makeFirst(fmt.Errorf("write %q: %w", name, err), name)
	}
	p := &pending{name, filepath.Join(staging.Path, base), staging}
	if err := p.write(content); err != nil {
		p.remove()
		return nil, fmt.Errorf("write %q: %w", name, err)
	}
	return p, nil
}

func (p *pending) write(content string) error {
	f, err := os.OpenFile(p.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Chmod(0o644), f.Close())
}

func (p *pending) publish() error {
	if p == nil {
		return nil
	}
	return os.Rename(p.temp, p.name)
}

// remove removes what was not published. It is called in any case.
func (p *pending) remove() {
	if p != nil {
		_ = p.staging.Remove()
	}
}
