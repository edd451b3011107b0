package ocilayout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// The tar format has no version that callers could ask for:
// a change of a byte here changes every digest, and the tests pin them. See also tarFormat.
const (
	blockSize = 512

	maxName    = 100       // bytes of a USTAR header's name and link target
	maxPrefix  = 155       // and of the directories before the name
	maxOctal7  = 1<<21 - 1 // the largest owner's number
	maxOctal11 = 1<<33 - 1 // the largest size, 8 GiB less one byte

	paxName = "././@PaxHeader" // of every PAX header, as Python's tarfile calls them
)

// tarBuffer is how much is read and hashed at once, and before a cancelled context is noticed.
const tarBuffer = 256 << 10

// windowed is a writer that has room of its own for what is written to it next:
// what is appended to a window and written need not be copied.
type windowed interface {
	io.Writer
	Window() []byte // empty, of any capacity but 0, and good until the next Write
}

var zeroBlocks [2 * blockSize]byte

// writeTar writes a tree as a tar, with whiteouts of what is hidden behind the directories that hold it.
// Of a file that does not have the size its entry says, the error names the path.
// Progress is called with the bytes of content written since the last call.
func writeTar(ctx context.Context, w io.Writer, tree rootfs.Tree, hidden []string, progress func(int64)) error {
	t := tarWriter{w: w, progress: progress}
	if ww, ok := w.(windowed); ok {
		t.window, t.buf = ww.Window, ww.Window()
	} else {
		t.buf = make([]byte, 0, tarBuffer)
	}
	whiteouts := make(map[string][]string) // by directory
	for _, path := range hidden {
		i := strings.LastIndexByte(path, '/')
		whiteouts[path[:max(i, 0)]] = append(whiteouts[path[:max(i, 0)]], path[i+1:])
	}
	if err := t.whiteouts("", whiteouts[""]); err != nil {
		return err
	}
	delete(whiteouts, "")
	for e, err := range tree {
		if err == nil {
			err = t.entry(ctx, e)
		}
		if err == nil && e.IsDir() {
			err = t.whiteouts(e.Path, whiteouts[e.Path])
			delete(whiteouts, e.Path)
		}
		if err != nil {
			return err
		}
	}
	for dir := range whiteouts {
		return fmt.Errorf("hide in %q: the layer does not have that directory", dir)
	}
	if err := t.pad(int64(len(zeroBlocks))); err != nil {
		return err
	}
	return t.flush()
}

// tarWriter collects headers and content in one buffer, so that those below it see few large writes.
type tarWriter struct {
	w        io.Writer
	window   func() []byte // of w, if it has them
	buf      []byte
	content  int64 // bytes of content in buf
	progress func(int64)
}

func (t *tarWriter) entry(ctx context.Context, e rootfs.Entry) (err error) {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if len(t.buf) > cap(t.buf)-4*blockSize {
		if err := t.flush(); err != nil {
			return err
		}
	}
	if t.buf, err = appendHeader(t.buf, e); err != nil {
		return fmt.Errorf("write %q: %w", e.Path, err)
	}
	if !e.IsRegular() {
		return nil
	}
	if err := t.file(ctx, e); err != nil {
		return fmt.Errorf("read %q: %w", e.Path, err)
	}
	return t.pad(-e.Size & (blockSize - 1))
}

// whiteouts writes the empty files that hide names of the layers below (OCI image spec, layer.md).
func (t *tarWriter) whiteouts(dir string, names []string) error {
	for _, name := range names {
		if len(t.buf) > cap(t.buf)-4*blockSize {
			if err := t.flush(); err != nil {
				return err
			}
		}
		h := header{name: ".wh." + name, kind: '0', mode: 0o444}
		if dir != "" {
			h.name = dir + "/" + h.name
		}
		var err error
		if t.buf, err = h.appendLong(t.buf); err != nil {
			return fmt.Errorf("hide %q in %q: %w", name, dir, err)
		}
	}
	return nil
}

// file writes a regular file's content and checks its size.
func (t *tarWriter) file(ctx context.Context, e rootfs.Entry) (err error) {
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	left := e.Size
	for idle := 0; ; idle++ {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if len(t.buf) == cap(t.buf) {
			if err := t.flush(); err != nil {
				return err
			}
		}
		// One byte more than is left is asked for, so that a file that has grown is noticed.
		free := t.buf[len(t.buf):cap(t.buf)]
		if int64(len(free)) > left {
			free = free[:left+1]
		}
		n, err := r.Read(free)
		if int64(n) > left {
			return fmt.Errorf("changed while it was read: more than %d bytes", e.Size)
		}
		t.buf = t.buf[:len(t.buf)+n]
		t.content += int64(n)
		left -= int64(n)
		switch {
		case err == io.EOF && left > 0:
			return fmt.Errorf("changed while it was read: %d bytes of %d", e.Size-left, e.Size)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case n > 0:
			idle = 0
		case idle > 100:
			return io.ErrNoProgress
		}
	}
}

func (t *tarWriter) pad(n int64) error {
	if len(t.buf)+int(n) > cap(t.buf) {
		if err := t.flush(); err != nil {
			return err
		}
	}
	t.buf = append(t.buf, zeroBlocks[:n]...)
	return nil
}

func (t *tarWriter) flush() error {
	_, err := t.w.Write(t.buf)
	if t.progress != nil && t.content > 0 && err == nil {
		t.progress(t.content)
	}
	t.buf, t.content = t.buf[:0], 0
	if t.window != nil && err == nil {
		t.buf = t.window()
	}
	return err
}
