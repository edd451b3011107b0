package nar

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/export-profile/export-profile/rootfs"
)

// Read returns the tree of the next NAR on w. Its first entry has the path root.
// The tree can be walked only once. A walk skips what the caller does not read, and a complete walk consumes exactly the NAR.
func Read(w *Wire, root string) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		r := reader{w: w, yield: yield}
		begin := w.Offset()
		err := w.Expect(magic)
		if err == nil {
			err = r.node(root, 0)
		}
		if err != nil && err != errStopped {
			yield(rootfs.Entry{}, fmt.Errorf("NAR at byte %d: %w", w.Offset()-begin, err))
		}
	}
}

// errStopped ends a walk after yield has returned false.
var errStopped = errors.New("stopped")

type reader struct {
	w     *Wire
	yield func(rootfs.Entry, error) bool
}

func (r *reader) node(path string, depth int) error {
	if depth > rootfs.MaxDepth {
		return fmt.Errorf("deeper than %d directories", rootfs.MaxDepth)
	}
	if err := r.expect("(", "type"); err != nil {
		return err
	}
	kind, err := r.w.bytes(maxTag)
	if err != nil {
		return err
	}
	switch string(kind) {
	case "regular":
		return r.regular(path)
	case "symlink":
		return r.symlink(path)
	case "directory":
		return r.directory(path, depth)
	}
	return fmt.Errorf("unknown node type %q", kind)
}

func (r *reader) regular(path string) error {
	tag, err := r.w.bytes(maxTag)
	if err != nil {
		return err
	}
	executable := string(tag) == "executable"
	switch {
	case executable:
		if err := r.expect("", "contents"); err != nil {
			return err
		}
	case string(tag) != "contents":
		return fmt.Errorf("found %q, want %q", tag, "contents")
	}
	size, err := r.w.size()
	if err != nil {
		return err
	}
	c := &content{w: r.w, left: size}
	e := rootfs.File(path, fs.FileMode(fileMode(executable)), size, c.open)
	more := r.yield(e, nil)
	c.opened, c.closed = true, true
	if !more {
		return errStopped
	}
	if err := r.w.Skip(c.left); err != nil {
		return err
	}
	if err := r.w.pad(size); err != nil {
		return err
	}
	return r.expect(")")
}

func (r *reader) symlink(path string) error {
	if err := r.expect("target"); err != nil {
		return err
	}
	target, err := r.w.String(rootfs.MaxTarget)
	if err == nil {
		err = rootfs.CheckTarget(target)
	}
	if err == nil {
		err = r.expect(")")
	}
	if err != nil {
		return err
	}
	return r.emit(rootfs.Link(path, target))
}

func (r *reader) directory(path string, depth int) error {
	if err := r.emit(rootfs.Dir(path, 0o555)); err != nil {
		return err
	}
	for last := ""; ; {
		tag, err := r.w.bytes(maxTag)
		switch {
		case err != nil:
			return err
		case string(tag) == ")":
			return nil
		case string(tag) != "entry":
			return fmt.Errorf("found %q, want an entry or the end of a directory", tag)
		}
		if err := r.expect("(", "name"); err != nil {
			return err
		}
		name, err := r.w.String(rootfs.MaxName)
		if err == nil {
			err = rootfs.CheckName(name)
		}
		if err != nil {
			return err
		}
		if name <= last {
			return fmt.Errorf("name %q after %q is out of order", name, last)
		}
		last = name
		if err := r.expect("node"); err != nil {
			return err
		}
		if err := r.node(path+"/"+name, depth+1); err != nil {
			return err
		}
		if err := r.expect(")"); err != nil {
			return err
		}
	}
}

func (r *reader) expect(words ...string) error {
	for _, word := range words {
		if err := r.w.Expect(word); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) emit(e rootfs.Entry) error {
	if !r.yield(e, nil) {
		return errStopped
	}
	return nil
}

// content reads one file. It is valid until the next entry.
type content struct {
	w              *Wire
	left           int64
	opened, closed bool
}

func (c *content) open() (io.ReadCloser, error) {
	if c.opened {
		return nil, errors.New("content of a NAR can be opened only once, before the next entry")
	}
	c.opened = true
	return c, nil
}

func (c *content) Read(p []byte) (int, error) {
	if c.closed {
		return 0, fs.ErrClosed
	}
	if c.left == 0 {
		return 0, io.EOF
	}
	n, err := c.w.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (c *content) Close() error {
	c.closed = true
	return nil
}
