package nar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/export-profile/export-profile/rootfs"
)

// Write writes the tree of a store object as a NAR. The first entry must have the path root.
// The tree must follow the rules of [rootfs.Check].
func Write(to io.Writer, t rootfs.Tree, root string) error {
	w := NewWriter(to, root)
	for e, err := range rootfs.Check(root, t) {
		if err != nil {
			return err
		}
		_ = w.Entry(e)
		if !e.IsRegular() {
			continue
		}
		if err := w.copyContent(e); err != nil {
			return fmt.Errorf("%q: %w", e.Path, err)
		}
	}
	return w.End()
}

// Writer is a [Sink] that writes a NAR.
// It collects small writes. End returns the first write error.
type Writer struct {
	to   io.Writer
	root string
	open []string // the directories that contain the next entry
	buf  []byte
	err  error
}

// NewWriter returns a writer for the NAR of an object. The first entry must have the path root.
func NewWriter(to io.Writer, root string) *Writer { return newWriter(to, root, 8<<10) }

// newWriter returns a writer that collects half of size bytes.
func newWriter(to io.Writer, root string, size int) *Writer {
	w := &Writer{to: to, root: root, buf: make([]byte, 0, size)}
	w.strings(magic)
	return w
}

// Entry implements [Sink]. It never fails.
func (w *Writer) Entry(e rootfs.Entry) error {
	w.leave(e.Path)
	if e.Path != w.root {
		name := e.Path[strings.LastIndexByte(e.Path, '/')+1:]
		w.strings("entry", "(", "name", name, "node")
	}
	w.strings("(", "type")
	switch {
	case e.IsDir():
		w.strings("directory")
		w.open = append(w.open, e.Path)
	case e.IsLink():
		w.strings("symlink", "target", e.Target)
		w.close(e.Path)
	default:
		w.strings("regular")
		if executable(e) {
			w.strings("executable", "")
		}
		w.strings("contents")
		w.number(uint64(e.Size))
	}
	return nil
}

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

func (w *Writer) copyContent(e rootfs.Entry) (err error) {
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	w.flush()
	if w.err != nil {
		return w.err
	}
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	switch n, err := io.CopyBuffer(w.to, io.LimitReader(r, e.Size), buf[:]); {
	case err != nil:
		return err
	case n < e.Size:
		return io.ErrUnexpectedEOF
	}
	w.EndContent(e)
	return nil
}

// Content implements [Sink].
func (w *Writer) Content(p []byte) {
	w.flush()
	if w.err == nil {
		_, w.err = w.to.Write(p)
	}
}

// EndContent implements [Sink].
func (w *Writer) EndContent(e rootfs.Entry) {
	w.zeros(int(-e.Size & 7))
	w.close(e.Path)
}

// End implements [Sink].
func (w *Writer) End() error {
	for len(w.open) > 0 {
		w.pop()
	}
	w.flush()
	return w.err
}

// leave closes the directories that do not contain path.
func (w *Writer) leave(path string) {
	for len(w.open) > 0 && !rootfs.Within(w.open[len(w.open)-1], path) {
		w.pop()
	}
}

func (w *Writer) pop() {
	last := w.open[len(w.open)-1]
	w.open = w.open[:len(w.open)-1]
	w.close(last)
}

// close writes the end of a node and of the entry around it.
func (w *Writer) close(path string) {
	w.strings(")")
	if path != w.root {
		w.strings(")")
	}
}

func (w *Writer) strings(words ...string) {
	for _, s := range words {
		w.number(uint64(len(s)))
		w.buf = append(w.buf, s...)
		w.zeros(-len(s) & 7)
	}
}

func (w *Writer) number(n uint64) {
	if len(w.buf) > cap(w.buf)/2 {
		w.flush()
	}
	w.buf = binary.LittleEndian.AppendUint64(w.buf, n)
}

func (w *Writer) zeros(n int) {
	w.buf = append(w.buf, make([]byte, n)...)
}

func (w *Writer) flush() {
	if w.err == nil && len(w.buf) > 0 {
		_, w.err = w.to.Write(w.buf)
	}
	w.buf = w.buf[:0]
}
