package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"github.com/export-profile/export-profile/profile"
)

// resultWriter is standard output. It keeps the first error, since commands print line by line without checking:
// if a result is lost, as on a full disk, the run must fail.
type resultWriter struct {
	to        io.Writer
	err       error
	published string // hint if standard output fails; see the function published
}

// published records that a result is complete before its name is printed.
// If printing the name fails, the run fails, and its hint says that the result is complete.
func published(w io.Writer, format string, args ...any) {
	if r, ok := w.(*resultWriter); ok {
		r.published = fmt.Sprintf(format, args...)
	}
}

func (r *resultWriter) Write(b []byte) (int, error) {
	n, err := r.to.Write(b)
	if r.err == nil {
		r.err = err
	}
	return n, err
}

// lost returns an error if some of the result could not be written.
func (r *resultWriter) lost() error {
	if r.err == nil {
		return nil
	}
	err := r.err
	var path *fs.PathError
	if errors.As(err, &path) { // drops "write /dev/stdout"
		err = path.Err
	}
	return withHint(fmt.Errorf("write standard output: %w", err), "%s", r.published)
}

// unwrapStdout unwraps w so that io.Copy can use copy_file_range.
func unwrapStdout(w io.Writer) io.Writer {
	if r, ok := w.(*resultWriter); ok {
		return r.to
	}
	return w
}

// terminalWidth says whether a result goes to a terminal, and returns its width, or 0 if that is unknown.
func terminalWidth(w io.Writer) (columns int, ok bool) {
	f, ok := unwrapStdout(w).(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, true
	}
	return columns, true
}

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

// contents is the part of a --json result about the closure that was written.
type contents struct {
	Profiles []profile.Path `json:"profiles"`
	Paths    int            `json:"paths"`   // store paths of the closure
	NarSize  int64          `json:"narSize"` // bytes of the closure
	Env      []string       `json:"env"`
}

func (a *assembly) contents() contents {
	return contents{Profiles: a.closure.Roots, Paths: len(a.closure.Infos), NarSize: a.closure.Size(), Env: a.baseFiles.Env}
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
