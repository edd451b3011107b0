package binarycache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// download reads a file from a server and survives broken connections.
// It resumes where the last attempt broke off if the server supports that;
// otherwise it fetches the file again and skips what it already has.
// The caller's hash check proves that the pieces belong together.
type download struct {
	server *server
	ctx    context.Context
	url    *url.URL
	close  bool // ask the server to close the connection at the end
	tries  tries

	header http.Header // of the first answer
	tag    string      // strong ETag, or ""
	whole  bool        // the server does not support ranges
	size   int64       // of the whole body, or -1
	hint   int64       // size according to the narinfo, if the connection's end is all that ends the body
	ended  bool        // the body ended at offset, but before hint
	offset int64       // bytes given to the caller
	failed int64       // offset at the last failure
	from   *answer     // nil between two attempts
}

// download starts to fetch a file. hint is its size according to its narinfo, or 0.
// If toClose is true, it asks the server to close the connection at the end.
func (h *server) download(ctx context.Context, u *url.URL, hint int64, toClose bool) (*download, error) {
	d := &download{server: h, ctx: ctx, url: u, close: toClose, tries: tries{server: h}}
	for {
		err := d.begin(hint)
		if err == nil {
			return d, nil
		}
		if err := d.tries.again(ctx, err); err != nil {
			return nil, err
		}
	}
}

// request returns the header of a request.
func (d *download) request() http.Header {
	header := http.Header{"Accept-Encoding": {"identity"}}
	if d.close {
		header.Set("Connection", "close")
	}
	return header
}

func (d *download) begin(hint int64) error {
	a, err := d.server.get(d.ctx, d.url, d.request())
	if err != nil {
		return err
	}
	d.header, d.size = a.header, a.length
	if tag := a.header.Get("ETag"); strings.HasPrefix(tag, `"`) { // not W/
		d.tag = tag
	}
	if a.status != http.StatusOK {
		return errors.Join(final(&statusError{status: a.status}), a.Close())
	}
	if a.length < 0 && !a.chunked && !encoded(a.header) {
		d.hint = hint
	}
	d.from = a
	return nil
}

func (d *download) Read(p []byte) (int, error) {
	for {
		if d.from != nil {
			n, err := d.from.Read(p)
			d.offset += int64(n)
			if n > 0 {
				d.ended = false
			}
			if err == io.EOF && d.offset < max(d.size, d.hint) {
				d.ended = d.offset >= d.size
				err = io.ErrUnexpectedEOF
			}
			if n > 0 && err != io.EOF {
				err = nil // the next Read returns it again
			}
			if n > 0 || err == nil || err == io.EOF {
				return n, err
			}
			if err := d.retry(err); err != nil {
				return 0, broken(err)
			}
		}
		if err := d.resume(); err != nil {
			if err := d.retry(err); err != nil {
				return 0, broken(err)
			}
		}
	}
}

// brokenError reports a download that broke off. What arrived may be right.
type brokenError struct{ error }

func broken(err error) error {
	if err == io.EOF {
		return err
	}
	return &brokenError{err}
}

func (e *brokenError) Unwrap() error { return e.error }

// minProgress is how many bytes must arrive between two failures to reset the count of attempts:
// a large file may take longer than any connection lives.
const minProgress = 1 << 20

// retry ends an attempt. It returns nil if another may follow.
// If only the hint is against it, the last attempt ends the download with io.EOF.
func (d *download) retry(err error) error {
	if d.offset-d.failed >= minProgress {
		d.tries.made = 0
	}
	d.failed = d.offset
	if d.from != nil {
		_ = d.from.Close() // already broken
		d.from = nil
	}
	err = d.tries.again(d.ctx, err)
	if err != nil && d.ended && d.ctx.Err() == nil {
		return io.EOF
	}
	return err
}

// resume sends a new request that continues at d.offset.
func (d *download) resume() error {
	header := d.request()
	if !d.whole && d.offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", d.offset))
		if d.tag != "" {
			header.Set("If-Range", d.tag)
		}
	}
	a, err := d.server.get(d.ctx, d.url, header)
	var status *statusError
	if errors.As(err, &status) && status.status == http.StatusRequestedRangeNotSatisfiable {
		d.whole = true
		return errors.New("the server refused to send the rest")
	}
	if err != nil {
		return err
	}
	d.from = a
	switch {
	case encoded(a.header) != encoded(d.header):
		return final(errors.New("the server sent it once compressed and once not"))
	case a.status == http.StatusPartialContent:
		if begin, ok := rangeBegin(a.header); !ok || begin != d.offset {
			d.whole = true
			return fmt.Errorf("the server sent another range than the one from byte %d", d.offset)
		}
		return nil
	}
	switch n, err := io.CopyN(io.Discard, a, d.offset); {
	case err == io.EOF:
		return final(fmt.Errorf("the file has %d bytes now, but had at least %d before", n, d.offset))
	case err != nil:
		return err
	}
	return nil
}

// rangeBegin returns the first byte position of a Content-Range.
func rangeBegin(header http.Header) (int64, bool) {
	s, ok := strings.CutPrefix(header.Get("Content-Range"), "bytes ")
	s, _, cut := strings.Cut(s, "-")
	n, err := strconv.ParseInt(s, 10, 64)
	return n, ok && cut && err == nil
}

// Close ends the download, complete or not.
// If the answer was read to its end, its connection is reused.
func (d *download) Close() error {
	if d.from == nil {
		return nil
	}
	err := d.from.Close()
	d.from = nil
	return err
}
