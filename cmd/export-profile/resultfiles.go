package main

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
)

// standardName is the file that means standard input or output.
const standardName = "-"

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
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
