package ocilayout

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/ocilayout/compress"
)

// open opens a blob that has not changed since its record was written.
// If it may have, it is read; if it has, record and blob are removed.
func (c *Cache) open(ctx context.Context, name string, r *blobRecord) (_ *os.File, err error) {
	path := c.blob(r.Digest)
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		c.forget(name)
		return nil, errNotCached
	}
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("blob %s is no file", r.Digest)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if fi, err = f.Stat(); err != nil {
		return nil, err
	}
	if fi.Size() != r.Size {
		c.discard(name, path)
		return nil, fmt.Errorf("blob %s has %d bytes instead of %d", r.Digest, fi.Size(), r.Size)
	}
	if fi.ModTime().UnixNano() == r.ModTime {
		return f, nil
	}
	h := sha256.New()
	if _, err := copyAll(ctx, io.Discard, f, h); err != nil {
		return nil, err
	}
	if d := digest.NewDigest(digest.SHA256, h); d != r.Digest {
		c.discard(name, path)
		return nil, fmt.Errorf("blob %s has changed and is %s", r.Digest, d)
	}
	r.ModTime = fi.ModTime().UnixNano()
	if dir, err := c.newFiles(); err == nil {
		_ = errors.Join(c.store(dir.Dir, name, r), dir.Remove())
	}
	_, err = f.Seek(0, io.SeekStart)
	return f, err
}

func (c *Cache) discard(name, path string) {
	c.forget(name)
	_ = os.Remove(path)
}

// keep makes known what a layer has become, and keeps the blob, which is a file in a layout.
// An error makes no difference but that it is not kept.
func (c *Cache) keep(ctx context.Context, key string, tarSize int64, b layerBlob, z compress.Method, file string, link bool) (err error) {
	compressor, err := c.compressor(z)
	if err != nil {
		return err
	}
	dir, err := c.newFiles()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Remove()) }()
	temp := filepath.Join(dir.Dir, "blob")
	if err := putFile(ctx, temp, file, b.Size, link); err != nil {
		return err
	}
	r, err := c.place(temp, compressor, b.Digest, b.Size)
	if err != nil {
		return err
	}
	if err := c.store(dir.Dir, packedRecord(b.diffID, z), r); err != nil {
		return err
	}
	tar := tarRecord{DiffID: b.diffID, Size: tarSize, Checked: b.checked}
	var had tarRecord
	if c.peek(key, &had) == nil && had.DiffID == tar.DiffID {
		tar.Checked = joinBits(tar.Checked, had.Checked) // it is the same tar, whoever has hashed what
	}
	return c.store(dir.Dir, key, tar)
}

// place gives a file its place among the blobs, and says what is to be recorded of it.
func (c *Cache) place(file, compressor string, d digest.Digest, size int64) (r blobRecord, err error) {
	fi, err := os.Lstat(file)
	if err != nil {
		return r, err
	}
	return blobRecord{compressor, d, size, fi.ModTime().UnixNano()}, os.Rename(file, c.blob(d))
}

// putFile makes a new file from a blob, the cheapest way there is.
func putFile(ctx context.Context, to, from string, size int64, link bool) (err error) {
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if cloneFile(w, from) == nil {
		return w.Chmod(0o644)
	}
	if link && linkable(from) {
		if err := os.Remove(to); err != nil {
			return err
		}
		if os.Link(from, to) == nil {
			return nil
		}
		return putFile(ctx, to, from, size, false)
	}
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := copyFile(ctx, w, r, size); err != nil {
		return err
	}
	return w.Chmod(0o644)
}

// cloneFile makes an empty file share the content of another, where the file system can.
func cloneFile(to *os.File, from string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	return unix.IoctlFileClone(int(to.Fd()), int(r.Fd()))
}

// linkable says whether a file can be a blob under another name:
// it is this user's, and has the mode of a blob.
func linkable(name string) bool {
	fi, err := os.Lstat(name)
	if err != nil || fi.Mode() != 0o644 {
		return false
	}
	return int(fi.Sys().(*syscall.Stat_t).Uid) == os.Geteuid()
}

// copyFile copies a file of a size.
// What is copied is not hashed, which would take more than twice the time:
// it is believed as much as what is linked, for the same reason.
func copyFile(ctx context.Context, w, r *os.File, size int64) error {
	n, err := sendAll(ctx, w, r)
	if err == nil && n != size {
		err = fmt.Errorf("copy %q: %d bytes of %d", r.Name(), n, size)
	}
	return err
}

// sendStep is how much the kernel copies before it is seen that nobody wants it any more.
const sendStep = 8 << 20

// sendAll copies a file from its beginning to its end. The kernel does it where it can, and
// other than copy_file_range, which takes one file system, sendfile takes any two; it copies once, and in small pieces.
func sendAll(ctx context.Context, w, r *os.File) (n int64, err error) {
	for {
		if err := context.Cause(ctx); err != nil {
			return n, err
		}
		m, err := unix.Sendfile(int(w.Fd()), int(r.Fd()), nil, sendStep)
		switch {
		case err == unix.EINTR:
		case err != nil && n == 0:
			return copyAll(ctx, w, r, nil) // nothing was copied, as this kernel or file system can't do it
		case err != nil:
			return n, &fs.PathError{Op: "sendfile", Path: r.Name(), Err: err}
		case m == 0:
			return n, nil
		default:
			n += int64(m)
		}
	}
}

// copyBuffer is small enough to stay in a processor's cache.
const copyBuffer = 64 << 10

// copyAll copies until the end or until it is cancelled, and hashes what it copies if there is a hash.
func copyAll(ctx context.Context, w io.Writer, r io.Reader, h hash.Hash) (n int64, err error) {
	buf := make([]byte, copyBuffer)
	for {
		if err := context.Cause(ctx); err != nil {
			return n, err
		}
		m, err := r.Read(buf)
		if h != nil {
			h.Write(buf[:m])
		}
		if _, err := w.Write(buf[:m]); err != nil {
			return n, err
		}
		n += int64(m)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
