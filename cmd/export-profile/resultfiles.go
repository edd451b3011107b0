package main

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
)

// standardName is the file name that means standard input or output.
const standardName = "-"

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// resultFile is a file that a command will write, and the word on the command line that names it.
type resultFile struct{ word, file string }

// distinct refuses two results in one file, however its name is spelt: the last would replace the others.
// It ignores results without a file.
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

// realName returns the real path of a file that will be written. It does not follow a link in place of the file,
// which the file replaces.
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
