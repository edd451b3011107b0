package ocilayout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// FormatVersion is the version of the bytes of layers. Programs with the same FormatVersion and the same
// compressor (see [compress.Version]) make the same layers of the same parts. With the same [plan.FormatVersion],
// too, they make the same image.
const FormatVersion = tarFormat

// tarFormat is the version of how we turn parts into a tar. It is in every cache key.
// A change of one byte here changes every digest, which the tests pin: raise tarFormat with it.
// Callers cannot choose a version.
const tarFormat = 1

const (
	blockSize = 512

	maxName    = 100       // bytes of the name and of the link target in a USTAR header
	maxPrefix  = 155       // bytes of the directories in front of the name
	maxOctal7  = 1<<21 - 1 // the largest user or group number
	maxOctal11 = 1<<33 - 1 // the largest size, 8 GiB less one byte

	paxName = "././@PaxHeader" // name of every PAX header, as in Python's tarfile
)

// tarBuffer is how much is read and hashed at once, and before a cancelled context is noticed.
const tarBuffer = 256 << 10

// windowed is a writer that lends its buffer for the next write:
// bytes appended to the window and then written need no copy.
type windowed interface {
	io.Writer
	Window() []byte // empty, of any capacity but 0, valid until the next Write
}

var zeroBlocks [2 * blockSize]byte

// writeTar writes a tree as a tar, with a whiteout for each hidden path after the entry of its directory.
// It is an error, which names the path, if a file differs in size from its entry.
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

// tarWriter collects headers and contents in one buffer, so that it makes few large writes.
type tarWriter struct {
	w        io.Writer
	window   func() []byte // the window of w, if it is windowed
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

// whiteouts writes the empty files that hide names of lower layers (OCI image spec, layer.md).
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

// file writes the content of a regular file and checks its size.
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
		// Ask for one byte more than is left, to notice a file that has grown.
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
