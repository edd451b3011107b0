package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// result is standard output. It keeps the first error, since commands print line by line without checking:
// if a result is lost, as on a full disk, the run must fail.
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

// lost returns an error if some of the result could not be written.
func (r *result) lost() error {
	if r.err == nil {
		return nil
	}
	err := r.err
	var path *fs.PathError
	if errors.As(err, &path) { // drops "write /dev/stdout"
		err = path.Err
	}
	return withHint(fmt.Errorf("write standard output: %w", err), "")
}

// destinationOf unwraps w so that io.Copy can use copy_file_range.
func destinationOf(w io.Writer) io.Writer {
	if r, ok := w.(*result); ok {
		return r.to
	}
	return w
}
