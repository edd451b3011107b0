package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// result is standard output. It remembers the first error, since commands print line by line:
// a result that was lost, as on a full disk, must not look as if somebody had it.
type result struct {
	to  io.Writer
	err error
}

func (r *result) Write(b []byte) (int, error) {
	n, err := r.to.Write(b)
	if r.err == nil {
		r.err = err
	}
	return n, err
}

// lost is an error if something could not be written.
func (r *result) lost() error {
	if r.err == nil {
		return nil
	}
	err := r.err
	var path *fs.PathError
	if errors.As(err, &path) { // "write /dev/stdout"
		err = path.Err
	}
	return withHint(fmt.Errorf("write standard output: %w", err), "")
}

// destinationOf is what a result is written to, for what is copied there: the kernel may know how to do it for files.
func destinationOf(w io.Writer) io.Writer {
	if r, ok := w.(*result); ok {
		return r.to
	}
	return w
}
