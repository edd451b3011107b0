package ocilayout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
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

// appendHeader appends an entry's header blocks: one,
// or with a PAX header before it where the entry does not fit.
func appendHeader(buf []byte, e rootfs.Entry) ([]byte, error) {
	if strings.HasPrefix(e.Path, ".wh.") || strings.Contains(e.Path, "/.wh.") {
		return buf, errors.New("a name that begins with .wh. would delete a file of another layer")
	}
	h := &header{name: e.Path, mode: int64(rootfs.UnixMode(e.Mode)), uid: int64(e.UID), gid: int64(e.GID)}
	switch {
	case e.IsDir():
		h.kind = '5'
		h.name += "/"
	case e.IsLink():
		h.kind, h.link, h.mode = '2', e.Target, 0o777
	default:
		h.kind, h.size = '0', e.Size
	}
	return h.appendLong(buf)
}

// appendLong appends a header whose fields may not fit, with what they need before it.
func (h *header) appendLong(buf []byte) ([]byte, error) {
	if h.uid < 0 || h.gid < 0 {
		return buf, fmt.Errorf("owner %d:%d is not representable", h.uid, h.gid)
	}

	var records []byte // in the order of their keys
	if h.gid > maxOctal7 {
		records = appendRecord(records, "gid", strconv.FormatInt(h.gid, 10))
		h.gid = 0
	}
	if len(h.link) > maxName {
		records = appendRecord(records, "linkpath", h.link)
		h.link = h.link[:maxName]
	}
	if prefix, name, ok := splitName(h.name); ok {
		h.prefix, h.name = prefix, name
	} else {
		records = appendRecord(records, "path", h.name)
		h.name = h.name[:maxName]
	}
	if h.size > maxOctal11 {
		records = appendRecord(records, "size", strconv.FormatInt(h.size, 10))
		h.size = 0
	}
	if h.uid > maxOctal7 {
		records = appendRecord(records, "uid", strconv.FormatInt(h.uid, 10))
		h.uid = 0
	}
	if len(records) > 0 {
		pax := header{kind: 'x', name: paxName, mode: 0o644, size: int64(len(records))}
		buf = pax.append(buf)
		buf = append(buf, records...)
		buf = append(buf, zeroBlocks[:-len(records)&(blockSize-1)]...)
	}
	return h.append(buf), nil
}

// splitName divides a name that is too long for its field at a slash, as late as possible.
func splitName(name string) (prefix, rest string, ok bool) {
	if len(name) <= maxName {
		return "", name, true
	}
	end := min(len(name)-1, maxPrefix+1) // without a directory's last slash
	i := strings.LastIndexByte(name[:end], '/')
	if i <= 0 || len(name)-i-1 > maxName {
		return "", "", false
	}
	return name[:i], name[i+1:], true
}

// appendRecord appends a record of a PAX header, whose length counts its own digits.
func appendRecord(b []byte, key, value string) []byte {
	n := len(key) + len(value) + len(" =\n")
	size := n + len(strconv.Itoa(n))
	if size = n + len(strconv.Itoa(size)); n+len(strconv.Itoa(size)) != size {
		size = n + len(strconv.Itoa(size))
	}
	b = strconv.AppendInt(b, int64(size), 10)
	b = append(b, ' ')
	b = append(b, key...)
	b = append(b, '=')
	b = append(b, value...)
	return append(b, '\n')
}

// header is the fields of a USTAR header.
type header struct {
	prefix, name, link   string
	kind                 byte
	mode, uid, gid, size int64
}

// append appends a header whose fields fit.
func (h *header) append(buf []byte) []byte {
	start := len(buf)
	buf = append(buf, zeroBlocks[:blockSize]...)
	b := buf[start:]
	copy(b[0:100], h.name)
	octal(b[100:108], h.mode)
	octal(b[108:116], h.uid)
	octal(b[116:124], h.gid)
	octal(b[124:136], h.size)
	octal(b[136:148], rootfs.ModTime.Unix())
	copy(b[148:156], "        ") // what the checksum counts in its own place
	b[156] = h.kind
	copy(b[157:257], h.link)
	copy(b[257:265], "ustar\x0000")
	octal(b[329:337], 0)
	octal(b[337:345], 0)
	copy(b[345:500], h.prefix)
	sum := int64(0)
	for _, c := range b {
		sum += int64(c)
	}
	octal(b[148:155], sum)
	return buf
}

// octal fills a field with digits and a NUL.
func octal(field []byte, n int64) {
	for i := len(field) - 2; i >= 0; i-- {
		field[i] = '0' + byte(n&7)
		n >>= 3
	}
	field[len(field)-1] = 0
}
