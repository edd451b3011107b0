package chunked

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// Check reads a blob once and compares its tables with the tar: all that a [Checker] does, and the tar's digest.
// It calls report for each problem: of an entry, or of the blob if entry is "".
// The error is for a blob that is unreadable or no zstd.
func Check(blob io.Reader, loc Location, diffID digest.Digest, report func(entry, problem string)) error {
	c := NewChecker(blob, loc, report)
	defer c.Close()
	h := diffID.Algorithm().Hash()
	if _, err := io.Copy(h, c); err != nil {
		return fmt.Errorf("read layer: %w", err)
	}
	if got := digest.NewDigest(diffID.Algorithm(), h); got != diffID {
		report("", fmt.Sprintf("is %s once decompressed, want %s", got, diffID))
	}
	return nil
}

// Checker reads the tar of a blob. At the end it compares the blob's tables with what it read, and reports each problem.
//
//   - The tables and the footer are where they should be, behind the last frame. Each table is well-formed; see [TOCReader] and [SplitReader].
//   - The TOC and the tar-split data have the entries of the tar, in its order.
//   - Each entry of the TOC says what the headers of the tar say.
//   - Each chunk is a frame of its own. It begins and ends where the TOC says, and has the size and the digest of the TOC.
//     The same holds for the digest of each file.
//   - The tar-split data and the contents of the files, put together, are the tar.
//
// Its memory grows by 150 bytes for each entry and 64 for each chunk of the tar, besides the compressed tables.
type Checker struct {
	loc      Location
	report   func(entry, problem string)
	frames   *frameReader
	z        *zstd.Decoder
	tar      *tarScanner
	inFrame  bool
	from     int64 // where the frame begins
	toc      []byte
	tarSplit []byte
	footer   []byte // the content of the last skippable frame, if it can be the footer
	late     bool   // a frame follows the tables
	err      error  // what Read returns from now on
}

// maxWindow limits the window of zstd frames, and so the memory for reading them. `zstd --long` needs this much.
const maxWindow = 128 << 20

// NewChecker returns a Checker of the tables that loc says the blob has.
func NewChecker(blob io.Reader, loc Location, report func(entry, problem string)) *Checker {
	c := &Checker{loc: loc, report: report, frames: &frameReader{r: bufio.NewReaderSize(blob, 64<<10)}, tar: newTarScanner()}
	c.z, c.err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	return c
}

// Close releases memory. It does not close the blob.
func (c *Checker) Close() error {
	if c.z != nil {
		c.z.Close()
	}
	return nil
}

// Read reads the tar. When it returns io.EOF, all problems have been reported.
// After another error the tables were not compared.
func (c *Checker) Read(p []byte) (int, error) {
	for c.err == nil && len(p) > 0 {
		if !c.inFrame {
			c.err = c.nextFrame()
			continue
		}
		n, err := c.z.Read(p)
		c.tar.write(p[:n])
		if err == io.EOF {
			err = c.endFrame()
		}
		c.err = err
		if n > 0 {
			return n, nil
		}
	}
	return 0, c.err
}

// nextFrame goes to the next frame with data. It keeps the tables and the footer, and passes over other skippable frames.
func (c *Checker) nextFrame() error {
	c.from = c.frames.offset
	skippable, size, err := c.frames.next()
	switch {
	case err == io.EOF:
		c.finish()
		return io.EOF
	case err != nil:
		return err
	case !skippable:
		c.late = c.late || c.toc != nil || c.tarSplit != nil
		c.inFrame, c.footer = true, nil
		return c.z.Reset(c.frames)
	}
	c.footer = nil
	var keep *[]byte
	switch at := c.frames.offset; {
	case size > MaxTable:
	case at == c.loc.TOC.Offset && size == c.loc.TOC.Length:
		keep = &c.toc
	case at == c.loc.TarSplit.Offset && size == c.loc.TarSplit.Length:
		keep = &c.tarSplit
	case size == footerSize:
		keep = &c.footer
	}
	if keep == nil {
		_, err := io.Copy(io.Discard, c.frames)
		return err
	}
	var b bytes.Buffer // grows with what is read, not with what is declared
	_, err = b.ReadFrom(c.frames)
	*keep = b.Bytes()
	return err
}

const footerSize = 64

// endFrame ends a frame whose data were read.
func (c *Checker) endFrame() error {
	c.inFrame = false
	if n, err := c.frames.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		return errors.New("a frame goes on behind its last block")
	}
	c.tar.endFrame(c.from, c.frames.offset)
	return nil
}

// problem reports why the tar or one of the tables is unreadable.
func (c *Checker) problem(in string, err error) {
	var e *EntryError
	if errors.As(err, &e) {
		c.report(e.Name, fmt.Sprintf("in the %s: %v", in, e.Err))
	} else {
		c.report("", fmt.Sprintf("%s: %v", in, err))
	}
}

// Names of what a Checker compares, for its problems.
const (
	inTar   = "tar"
	inTOC   = "TOC"
	inSplit = "tar-split data"
)

// finish compares the tables with the tar.
func (c *Checker) finish() {
	if err := c.tar.finish(); err != nil {
		c.problem(inTar, err)
		return
	}
	if c.late {
		c.report("", "frames with data follow the tables")
	}
	if c.toc != nil && c.tarSplit != nil && !bytes.Equal(c.footer, c.loc.Footer()) {
		c.report("", "its last frame is not the footer that the annotations describe")
	}
	split := c.openSplit()
	toc := c.openTOC()
	for i := range c.tar.entries.n {
		e := c.tar.entries.at(i)
		end := c.tar.frames.n
		if i+1 < c.tar.entries.n {
			end = c.tar.entries.at(i + 1).frames
		}
		toc.entry(e, end, split.entry(e))
	}
	split.finish(c.tar.tail, c.tar.tailLen)
	toc.finish(c.tarSplit)
}

// missing reports that a table is not where it should be.
func (c *Checker) missing(what string, span Span) {
	c.problem(what, fmt.Errorf("no skippable frame has the %d bytes from byte %d on", span.Length, span.Offset))
}

// checkSplit compares the tar-split data with the tar.
type checkSplit struct {
	c *Checker
	r *SplitReader // nil after the first problem that makes the rest meaningless
}

func (c *Checker) openSplit() *checkSplit {
	s := &checkSplit{c: c}
	if c.tarSplit == nil {
		c.missing(inSplit, c.loc.TarSplit)
		return s
	}
	t, err := newTableReader(c.tarSplit, c.loc.TarSplit, maxTarSplit, digest.FromBytes(c.tarSplit)) // checkTOC compares the digest
	if err != nil {
		c.problem(inSplit, err)
		return s
	}
	s.r = newSplitReader(t)
	return s
}

// stop reports a problem that makes the rest meaningless.
func (s *checkSplit) stop(err error) {
	s.c.problem(inSplit, err)
	s.r.Close()
	s.r = nil
}

// next returns the next part, or nil if there is none or it is unreadable.
func (s *checkSplit) next() *SplitPart {
	p, err := s.r.Next()
	switch {
	case err == nil:
		return p
	case err == io.EOF:
		s.stop(errors.New("they end before the tar"))
	default:
		s.stop(err)
	}
	return nil
}

// entry compares the next entry with the tar's. It returns the headers, or nil if they are not those of the tar.
func (s *checkSplit) entry(e *tarEntry) *tarHeader {
	if s.r == nil {
		return nil
	}
	p := s.next()
	if p == nil {
		return nil
	}
	if p.Segment == nil {
		s.stop(&EntryError{p.Name, errors.New("has no headers before it")})
		return nil
	}
	same := sha256.Sum256(p.Segment) == e.headers
	var h *tarHeader
	if same {
		parsed, err := parseHeaders(p.Segment[e.before:])
		if err != nil { // the scanner of the tar has parsed the same bytes
			s.stop(err)
			return nil
		}
		h = parsed
	}
	if p = s.next(); p == nil {
		return nil
	}
	switch {
	case p.Segment != nil:
		s.stop(errors.New("they have two segments where the tar has the headers of one entry"))
		return nil
	case !same:
		s.c.report(p.Name, "in the tar-split data: has other headers than in the tar")
	case p.Name != h.Name:
		s.c.report(h.Name, fmt.Sprintf("in the tar-split data: is called %s", quote(p.Name)))
	}
	if p.Size != e.size {
		s.stop(&EntryError{p.Name, fmt.Errorf("has %d bytes, but %d in the tar", p.Size, e.size)})
		return h
	}
	if p.CRC != e.crc {
		s.c.report(p.Name, "in the tar-split data: has another sum than in the tar")
	}
	return h
}

// finish compares what follows the last entry.
func (s *checkSplit) finish(tail sum, size int64) {
	if s.r == nil {
		return
	}
	h, n := sha256.New(), int64(0)
	for {
		p, err := s.r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			s.stop(err)
			return
		}
		if p.Segment == nil {
			s.stop(&EntryError{p.Name, errors.New("is not in the tar")})
			return
		}
		h.Write(p.Segment)
		n += int64(len(p.Segment))
	}
	if sumOf(h) != tail {
		s.c.problem(inSplit, fmt.Errorf("they end with %d bytes that are not the last %d bytes of the tar", n, size))
	}
	s.r.Close()
}
