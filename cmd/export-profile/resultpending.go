package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/export-profile/export-profile/rootfs/staging"
)

// pendingFile is a small file beside a larger result. It is written before the result becomes visible,
// so that only the rename can fail afterwards. Until then it lies in its own directory,
// where no other run and no other user writes. Methods of a nil one do nothing.
type pendingFile struct {
	name, temp string
	staging    *staging.Dir
}

// newPendingFile writes the file. It returns nil if name is empty.
func newPendingFile(name, content string) (_ *pendingFile, err error) {
	if name == "" {
		return nil, nil
	}
	if fi, err := os.Stat(name); err == nil && fi.IsDir() {
		return nil, fmt.Errorf("write %q: it is a directory", name)
	}
	dir, base := filepath.Dir(name), filepath.Base(name)
	// Remove what killed runs left, if the directory can be read.
	if err := staging.Clean(dir, base, nil); err != nil && !errors.Is(err, fs.ErrPermission) {
		return nil, makeFirst(fmt.Errorf("write %q: %w", name, err), name)
	}
	staging, err := staging.New(dir, base)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) { // drops the temporary name
			err = path.Err
		}
		return nil, makeFirst(fmt.Errorf("write %q: %w", name, err), name)
	}
	p := &pendingFile{name, filepath.Join(staging.Path, base), staging}
	if err := p.write(content); err != nil {
		return nil, errors.Join(fmt.Errorf("write %q: %w", name, staging.Explain(err)), staging.Remove())
	}
	return p, nil
}

func (p *pendingFile) write(content string) error {
	f, err := os.OpenFile(p.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Chmod(0o644), f.Close())
}

func (p *pendingFile) publish() error {
	if p == nil {
		return nil
	}
	err := p.staging.Move(filepath.Base(p.temp), filepath.Base(p.name))
	var link *os.LinkError
	if errors.As(err, &link) { // drops the temporary name
		err = fmt.Errorf("write %q: %w", p.name, link.Err)
	}
	return err
}

// remove removes the file if it was not published. Callers always defer it.
func (p *pendingFile) remove(say *speaker) {
	if p != nil {
		say.noteLeft(p.staging.Remove())
	}
}
