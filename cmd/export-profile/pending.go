package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// pending is a small file beside a larger result. It is written before the result is visible,
// so that all that can fail has failed by then, and takes its name after it.
// A nil one is a file that nobody asked for.
type pending struct{ name, temp string }

// newPending writes the file; it is nil if name is empty.
func newPending(name, content string) (_ *pending, err error) {
	if name == "" {
		return nil, nil
	}
	if fi, err := os.Stat(name); err == nil && fi.IsDir() {
		return nil, fmt.Errorf("write %q: it is a directory", name)
	}
	// Always the same name, so that the next run takes the place of what a killed one left.
	temp := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".export-profile-new")
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("write %q: %w", name, err)
	}
	_, err = f.WriteString(content)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		os.Remove(f.Name())
		return nil, fmt.Errorf("write %q: %w", name, err)
	}
	return &pending{name, f.Name()}, nil
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

// remove removes what was not published.
func (p *pending) remove() {
	if p != nil {
		os.Remove(p.temp)
	}
}
