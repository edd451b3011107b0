// Package input reads a store in a single file: an export stream or a tar.
// A caller reads the file once from its beginning, to find out where everything is, and then at any offset.
//
// A regular file is read in place.
// A file that cannot be read twice (a pipe, a socket, a terminal, or anything compressed) is copied to a nameless file,
// which disappears however the run ends. The first bytes tell whether a file is compressed.
// Offsets count uncompressed bytes.
//
// The decompressor bounds the memory; see package decompress.
package input

import (
	"bufio"
	"context"
	"io"
	"os"

	"github.com/export-profile/export-profile/profile/decompress"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// Options configure an input. The zero value is ready to use.
type Options struct {
	// SpoolDir holds the copy of a file that cannot be read twice. The default is os.TempDir.
	// Open makes the directory if it needs it.
	SpoolDir string
	// Progress gets the number of bytes read or skipped since the last call.
	// It counts bytes of the file, that is, compressed ones.
	Progress func(bytes int64)
	// Workers help to decompress a file. Default: none.
	Workers *decompress.Workers
}

// Input reads a file from its offset at Open.
//
// Peek, Read and Skip go through the file once, from one goroutine.
// ReadAt reads what they have gone through, from any goroutine.
type Input struct {
	f           *os.File // as given to Open
	compression string

	data    *os.File // for ReadAt: f, or a copy of its content
	base    int64    // offset of the first byte in data
	private bool     // no other process can change data
	keep    bool     // copy the bytes read to data

	inPlace *fileReader // reads f if it is a regular file and not compressed
	next    *bufio.Reader
	z       io.Closer // the decompressor
	stop    func()    // makes a read of f that waits return

	trailing bool // other data follow the compressed ones
}

// bufferSize is the size of buffers for small reads.
const bufferSize = 32 << 10

// Open begins to read f. After an error, the caller still owns f.
func Open(ctx context.Context, f *os.File, o Options) (_ *Input, err error) {
	in := &Input{f: f, data: f}
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var raw *bufio.Reader
	ctx, in.stop = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			in.stop()
		}
	}()
	m := monitor{ctx: ctx, progress: o.Progress}
	if fi.Mode().IsRegular() {
		if in.base, err = f.Seek(0, io.SeekCurrent); err != nil {
			return nil, err
		}
		in.inPlace = &fileReader{f: f, off: in.base, size: fi.Size(), monitor: m}
		raw = bufio.NewReaderSize(in.inPlace, bufferSize)
	} else {
		raw = bufio.NewReaderSize(&pipeReader{f: f, monitor: m}, bufferSize)
	}
	head, err := raw.Peek(decompress.SniffLen)
	if err != nil && err != io.EOF {
		return nil, err
	}
	in.compression = decompress.Sniff(head)
	if in.inPlace != nil && in.compression == "" {
		in.next = raw
		return in, nil
	}
	var src io.Reader = raw
	if in.compression != "" {
		z, err := o.Workers.NewFileReader(in.compression, raw, func() { in.trailing = true })
		if err != nil {
			return nil, err
		}
		in.z, src = z, z
	}
	if in.data, err = staging.Spool(o.SpoolDir); err != nil {
		in.closeDecompressor()
		return nil, err
	}
	in.inPlace, in.base, in.private, in.keep = nil, 0, true, true
	in.next = bufio.NewReaderSize(&copier{in, src}, bufferSize)
	return in, nil
}

// Name returns the name of the file.
func (in *Input) Name() string { return in.f.Name() }

// Compression returns the compression of the file, as [decompress.Sniff] names it, or "".
func (in *Input) Compression() string { return in.compression }

// Trailing reports whether Read has ended before the file did: other data follow the compressed ones.
func (in *Input) Trailing() bool { return in.trailing }

// Private returns true if no other process can change what ReadAt reads.
func (in *Input) Private() bool { return in.private }

// Peek returns the next n bytes, at most 32 KiB, or fewer at the end, without consuming them.
func (in *Input) Peek(n int) ([]byte, error) {
	b, err := in.next.Peek(n)
	if err == io.EOF {
		err = nil
	}
	return b, err
}

// Read implements [io.Reader].
func (in *Input) Read(p []byte) (int, error) { return in.next.Read(p) }

// Skip skips n bytes. It does not read them if the file is read in place.
// It may skip beyond the end without an error; the next Read then returns io.EOF.
func (in *Input) Skip(n int64) error {
	if here := int64(in.next.Buffered()); in.inPlace != nil && n > here {
		if err := in.inPlace.skip(n - here); err != nil {
			return err
		}
		in.next.Reset(in.inPlace)
		return nil
	}
	for n > 0 {
		step, err := in.next.Discard(int(min(n, 1<<30)))
		n -= int64(step)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Forget promises that ReadAt will not be used for the rest of the file, so that Read need not copy it.
func (in *Input) Forget() { in.keep = false }

// ReadAt reads at an offset from where the file was opened.
func (in *Input) ReadAt(p []byte, off int64) (int, error) { return in.data.ReadAt(p, in.base+off) }

// Finish frees what only Read needs.
func (in *Input) Finish() {
	in.closeDecompressor()
	if in.private {
		in.f.Close()
	}
}

// Close closes the file and its copy.
func (in *Input) Close() error {
	in.Finish()
	return in.data.Close()
}

// Abandon frees everything except the file given to Open, which the caller owns again.
func (in *Input) Abandon() {
	in.closeDecompressor()
	if in.private {
		in.data.Close()
	}
}

func (in *Input) closeDecompressor() {
	in.stop()
	if in.z != nil {
		in.z.Close()
		in.z = nil
	}
}

// copier copies the bytes read to Input.data, for ReadAt.
type copier struct {
	in  *Input
	src io.Reader
}

func (c *copier) Read(p []byte) (int, error) {
	n, err := c.src.Read(p)
	if n > 0 && c.in.keep {
		if _, err := c.in.data.Write(p[:n]); err != nil {
			return 0, err
		}
	}
	return n, err
}
