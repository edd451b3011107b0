package staging

import (
	"os"
	"strings"
)

// Explain replaces Path in an error by the name of the directory.
func (d *Dir) Explain(err error) error { return explain(err, d.Path, d.shown()) }

// Explain replaces the path of an open directory in an error by its name.
func Explain(err error, dir *os.File) error { return explain(err, PathOf(dir, dir.Name()), dir.Name()) }

func explain(err error, path, shown string) error {
	if err == nil || path == shown || !strings.Contains(err.Error(), path) {
		return err
	}
	return &shownError{err, path, shown}
}

type shownError struct {
	error
	path, shown string
}

func (e *shownError) Error() string {
	var b strings.Builder
	for rest := e.error.Error(); ; {
		before, after, found := strings.Cut(rest, e.path)
		b.WriteString(before)
		switch {
		case !found:
			return b.String()
		case after != "" && after[0] >= '0' && after[0] <= '9': // another file
			b.WriteString(e.path)
		default:
			b.WriteString(e.shown)
		}
		rest = after
	}
}

func (e *shownError) Unwrap() error { return e.error }
