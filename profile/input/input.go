// Package input is what a store in one file is read from: an export stream, a tar.
// It is read once from its beginning to find out what is where, and then at any place.
//
// A regular file is read where it is.
// What cannot be read twice is kept in a file without a name, which is gone however the run ends:
// a pipe, a socket, a terminal, and whatever is compressed, which is told by its first bytes.
// The bytes of a compressed file are those that were compressed; the others are never seen.
//
// Memory is bounded by the decompressor; see package decompress.
package input

import (
	"bufio"
	"context"
	"io"
	"os"

	"github.com/export-profile/export-profile/profile/decompress"
	"github.com/export-profile/export-profile/profile/spool"
)

// Options say how an input is read. The zero value is right.
type Options struct {
	// SpoolDir is where what cannot be read twice is kept, by default os.TempDir.
	// It is made if it does not exist, and only when it is needed.
	SpoolDir string
	// Progress is called with the bytes of the file read or skipped since the last call,
	// before they are decompressed.
	Progress func(bytes int64)
}

// Input is a file that is read from the place where it stood when it was opened.
//
// Peek, Read and Skip go through it once, and belong to one goroutine.
// ReadAt may be called by any, for what they have gone through.
type Input struct {
	f           *os.File // as it was given
	compression string

	at      *os.File // where its bytes can be read again
	base    int64    // of its first byte in at
	private bool     // nobody else can change at
	keep    bool     // what is read goes to at

	from *place // a regular file that is read where it is
	next *bufio.Reader
	z    io.Closer // the decompressor
}

// bufferSize is how much is read at once where one reads little by little.
const bufferSize = 32 << 10

// Open begins to read f. After an error f is still the caller's.
func Open(ctx context.Context, f *os.File, o Options) (_ *Input, err error) {
	in := &Input{f: f, at: f}
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var raw *bufio.Reader
	seen := watched{ctx: ctx, progress: o.Progress}
	if fi.Mode().IsRegular() {
		if in.base, err = f.Seek(0, io.SeekCurrent); err != nil {
			return nil, err
		}
		in.from = &place{f: f, off: in.base, size: fi.Size(), watched: seen}
		raw = bufio.NewReaderSize(in.from, bufferSize)
	} else {
		raw = bufio.NewReaderSize(&pipe{f: f, watched: seen}, bufferSize)
	}
	head, err := raw.Peek(decompress.SniffLen)
	if err != nil && err != io.EOF {
		return nil, err
	}
	in.compression = decompress.Sniff(head)
	if in.from != nil && in.compression == "" {
		in.next = raw
		return in, nil
	}
	var src io.Reader = raw
	if in.compression != "" {
		z, err := decompress.Named(in.compression, raw)
		if err != nil {
			return nil, err
		}
		in.z, src = z, z
	}
	if in.at, err = spool.New(o.SpoolDir); err != nil {
		in.closeDecompressor()
		return nil, err
	}
	in.from, in.base, in.private, in.keep = nil, 0, true, true
	in.next = bufio.NewReaderSize(&keeper{in, src}, bufferSize)
	return in, nil
}

// Name is the name of the file.
func (in *Input) Name() string { return in.f.Name() }

// Compression is how the file is compressed, as [decompress.Sniff] says it, or "".
func (in *Input) Compression() string { return in.compression }

// Private says that nobody else can change what ReadAt reads.
func (in *Input) Private() bool { return in.private }

// Peek is the next n bytes, at most 32 KiB, or what is left if that is less. They stay where they are.
func (in *Input) Peek(n int) ([]byte, error) {
	b, err := in.next.Peek(n)
	if err == io.EOF {
		err = nil
	}
	return b, err
}

// Read implements io.Reader.
func (in *Input) Read(p []byte) (int, error) { return in.next.Read(p) }

// Skip passes n bytes, which a file that is read where it is need not read.
// It may pass the end without notice; the next Read tells.
func (in *Input) Skip(n int64) error {
	if here := int64(in.next.Buffered()); in.from != nil && n > here {
		if err := in.from.skip(n - here); err != nil {
			return err
		}
		in.next.Reset(in.from)
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

// Forget says that ReadAt will not be asked for what was not read yet, so that it need not be kept.
func (in *Input) Forget() { in.keep = false }

// ReadAt reads at an offset from the first byte.
func (in *Input) ReadAt(p []byte, off int64) (int, error) { return in.at.ReadAt(p, in.base+off) }

// Finish says that Read is not needed any more.
func (in *Input) Finish() {
	in.closeDecompressor()
	if in.private {
		in.f.Close()
	}
}

// Close closes the file and what was kept of it.
func (in *Input) Close() error {
	in.Finish()
	return in.at.Close()
}

// Abandon frees what an Input holds, but not the file it was opened with.
func (in *Input) Abandon() {
	in.closeDecompressor()
	if in.private {
		in.at.Close()
	}
}

func (in *Input) closeDecompressor() {
	if in.z != nil {
		in.z.Close()
		in.z = nil
	}
}

// keeper keeps what is read for ReadAt.
type keeper struct {
	in  *Input
	src io.Reader
}

func (k *keeper) Read(p []byte) (int, error) {
	n, err := k.src.Read(p)
	if n > 0 && k.in.keep {
		if _, err := k.in.at.Write(p[:n]); err != nil {
			return 0, err
		}
	}
	return n, err
}
