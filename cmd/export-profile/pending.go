package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// pending is a small file beside a larger result. It is written before the result is visible,
// so that all that can fail has failed by then, and takes its name after it.
// Until then it lies in a directory of its own, where no other run and no other user writes.
// A nil one is a file that nobody asked for.
type pending struct {
	name, temp string
	staging    *rootfs.Staging
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
	if err := rootfs.CleanStaging(dir, base, nil); err != nil && !errors.Is(err, fs.ErrPermission) {
		return nil, makeFirst(fmt.Errorf("write %q: %w", name, err), name)
	}
	staging, err := rootfs.NewStaging(dir, base)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) { // of a name that nobody has chosen
			err = path.Err
		}
		return nil, makeFirst(fmt.Errorf("write %q: %w", name, err), name)
	}
	p := &pending{name, filepath.Join(staging.Dir, base), staging}
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

// resultFile is a file that a command is to write, and the word on its command line that says so.
type resultFile struct{ word, file string }

// distinct refuses to write two things to one file, however its name is spelt: the last would take the others' place.
// What has no file is left out.
func distinct(files ...resultFile) error {
	words := make(map[string]string)
	for _, w := range files {
		if w.file == "" {
			continue
		}
		name := realName(w.file)
		if other, ok := words[name]; ok {
			return usagef("give each a name of its own", "%s and %s: both would be the file %q", other, w.word, w.file)
		}
		words[name] = w.word
	}
	return nil
}

// realName is where a file is, or would be once it is written. What has its name is replaced: a link there is not followed.
func realName(name string) string {
	name = strings.TrimRight(name, "/")
	dir, base := filepath.Split(name)
	if real, err := filepath.EvalSymlinks(cmp.Or(dir, ".")); err == nil {
		name = filepath.Join(real, base)
	}
	if abs, err := filepath.Abs(name); err == nil {
		name = abs
	}
	return name
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
