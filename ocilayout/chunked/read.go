package chunked

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// EntryError is an error about one entry of a table.
type EntryError struct {
	Name string // of the entry
	Err  error
}

func (e *EntryError) Error() string { return fmt.Sprintf("entry %s: %v", quote(e.Name), e.Err) }

// Unwrap returns the cause.
func (e *EntryError) Unwrap() error { return e.Err }

// ReadTOC reads the TOC of a blob and checks all that a TOC alone can break; see [TOCReader].
// From r it reads loc.TOC.Length bytes, which are those of the blob from loc.TOC.Offset on.
// They may come from a range of a registry's blob, or from an [io.SectionReader] of a file.
func ReadTOC(r io.Reader, loc Location) (*TOC, error) {
	t, err := NewTOCReader(r, loc)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	toc := &TOC{Version: tocVersion}
	for {
		e, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		toc.Entries = append(toc.Entries, *e)
	}
	toc.TarSplitDigest = t.TarSplitDigest()
	return toc, nil
}

const tocVersion = 1

// TOCReader reads the entries of a TOC one by one. It remembers of each name only a hash.
//
// It refuses a TOC with another version, with unknown or repeated fields, or without the digest of the tar-split data.
// Names stay inside the tree and occur once, even if they are spelled differently. Hard links lead to earlier files.
// A file that is not empty has a digest. Its chunks cover it, in order and without overlap.
// In the blob they follow each other, before the tables. Other entries have no contents.
type TOCReader struct {
	table    *tableReader
	json     *jsonReader
	rules    tocRules
	fields   uint64 // of the TOC that were read
	started  bool   // the bracket of the entries was read
	count    int    // of entries
	entry    Entry
	tarSplit digest.Digest
	err      error // what Next returns from now on
}

// NewTOCReader reads the compressed TOC from r, as [ReadTOC] does, and checks its digest.
func NewTOCReader(r io.Reader, loc Location) (*TOCReader, error) {
	t, err := openTable(r, loc.TOC, MaxTable, loc.Digest)
	if err != nil {
		return nil, fmt.Errorf("read TOC: %w", err)
	}
	return newTOCReader(t, loc), nil
}

func newTOCReader(t *tableReader, loc Location) *TOCReader {
	return &TOCReader{table: t, json: newJSONReader(t), rules: newTOCRules(loc)}
}

// Close releases memory.
func (t *TOCReader) Close() { t.table.close() }

// TarSplitDigest returns the digest of the compressed tar-split data, once Next returned io.EOF.
func (t *TOCReader) TarSplitDigest() digest.Digest { return t.tarSplit }

// Next returns the next entry, which is valid until the next call, and io.EOF after the last one.
// Errors about an entry are of type [*EntryError].
func (t *TOCReader) Next() (*Entry, error) {
	if t.err == nil {
		t.err = t.next()
	}
	if t.err != nil {
		return nil, t.err
	}
	return &t.entry, nil
}

func (t *TOCReader) next() error {
	read := t.open
	if t.started {
		read = func() (bool, error) { return t.json.more(false, ']') }
	}
	more, err := read()
	if err == nil && !more {
		if err = t.rules.finish(); err == nil {
			err = t.close()
		}
	}
	switch {
	case err != nil:
		return fmt.Errorf("read TOC: %w", err)
	case !more:
		return io.EOF
	}
	t.count++
	err = t.readEntry()
	if err != nil && t.entry.Name != "" {
		err = &EntryError{t.entry.Name, err}
	} else if err == nil {
		err = t.rules.add(&t.entry)
	}
	switch {
	case err == nil:
		return nil
	case t.entry.Name == "":
		return fmt.Errorf("read TOC: entry %d: %w", t.count, err)
	}
	return fmt.Errorf("read TOC: %w", err)
}

var tocFields = []string{"version", "entries", "tarSplitDigest"}

// open reads the TOC up to its first entry. It reports whether there is one.
func (t *TOCReader) open() (more bool, err error) {
	t.started = true
	if err := t.json.expect('{'); err != nil {
		return false, err
	}
	for first := true; ; first = false {
		if more, err := t.json.more(first, '}'); err != nil {
			return false, err
		} else if !more {
			return false, errors.New("it has no entries")
		}
		opened := false
		if err := t.json.field(tocFields, &t.fields, func(name string) error {
			if opened = name == "entries"; opened {
				more, err = t.entries()
				return err
			}
			return t.field(name)
		}); err != nil {
			return false, err
		}
		if opened {
			return more, nil
		}
	}
}

// entries reads the beginning of the entries. They are null if podman wrote a layer without any.
func (t *TOCReader) entries() (more bool, err error) {
	if null, err := t.json.null(); err != nil || null {
		return false, err
	}
	if err := t.json.expect('['); err != nil {
		return false, err
	}
	return t.json.more(true, ']')
}

// field reads a field of the TOC itself.
func (t *TOCReader) field(name string) error {
	switch name {
	case "version":
		n, err := t.json.number()
		if err == nil && n != tocVersion {
			err = fmt.Errorf("the version %d is not supported, only %d", n, tocVersion)
		}
		return err
	case "tarSplitDigest":
		s, err := t.json.text()
		if err == nil {
			t.tarSplit, err = parseDigest(s)
		}
		return err
	}
	return nil
}

// close reads what follows the entries.
func (t *TOCReader) close() error {
	for {
		more, err := t.json.more(false, '}')
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if err := t.json.field(tocFields, &t.fields, t.field); err != nil {
			return err
		}
	}
	if err := t.json.end(); err != nil {
		return err
	}
	if t.fields&1 == 0 {
		return errors.New("it has no version")
	}
	if t.tarSplit == "" {
		return errors.New("it has no digest of the tar-split data")
	}
	return nil
}

var entryFields = []string{
	"type", "name", "linkName", "mode", "size", "uid", "gid", "modtime", "accesstime", "changetime", "devMajor", "devMinor", "xattrs",
	"digest", "offset", "endOffset", "chunkSize", "chunkOffset", "chunkDigest", "chunkType",
}

// readEntry reads the next entry. It sets the name even if the rest is malformed.
func (t *TOCReader) readEntry() error {
	last := t.entry.Name
	t.entry = Entry{}
	e := &t.entry
	return t.json.object(entryFields, func(field string) error { return e.read(t.json, field, last) })
}

// read reads a field. If the name is last, they share their memory.
func (e *Entry) read(j *jsonReader, field, last string) (err error) {
	small := func(to *int) error {
		n, err := j.number()
		if err == nil && n > 1<<32-1 {
			err = fmt.Errorf("%d is too large", n)
		}
		*to = int(n)
		return err
	}
	switch field {
	case "type":
		b, err := j.bytes()
		if err != nil {
			return err
		}
		if e.Type = knownType(b); e.Type == "" {
			return fmt.Errorf("unknown type %s", quote(string(b)))
		}
	case "name":
		b, err := j.bytes()
		if err != nil {
			return err
		}
		if e.Name = last; string(b) != last {
			e.Name = string(b)
		}
	case "linkName":
		e.LinkName, err = j.text()
	case "mode":
		e.Mode, err = j.number()
	case "size":
		e.Size, err = j.number()
	case "uid":
		err = small(&e.UID)
	case "gid":
		err = small(&e.GID)
	case "modtime":
		e.ModTime, err = j.time()
	case "accesstime":
		e.AccessTime, err = j.time()
	case "changetime":
		e.ChangeTime, err = j.time()
	case "devMajor":
		e.DevMajor, err = j.number()
	case "devMinor":
		e.DevMinor, err = j.number()
	case "xattrs":
		e.Xattrs, err = j.xattrs()
	case "digest":
		e.Digest, err = j.digest()
	case "offset":
		e.Offset, err = j.number()
	case "endOffset":
		e.EndOffset, err = j.number()
	case "chunkSize":
		e.ChunkSize, err = j.number()
	case "chunkOffset":
		e.ChunkOffset, err = j.number()
	case "chunkDigest":
		e.ChunkDigest, err = j.digest()
	case "chunkType":
		if e.ChunkType, err = j.text(); err == nil && e.ChunkType != "" && e.ChunkType != chunkZeros {
			err = fmt.Errorf("unknown type %s", quote(e.ChunkType))
		}
	}
	return err
}

const chunkZeros = "zeros"

func knownType(b []byte) string {
	for _, t := range [...]string{TypeFile, TypeChunk, TypeDir, TypeSymlink, TypeHardlink, TypeChar, TypeBlock, TypeFifo} {
		if string(b) == t {
			return t
		}
	}
	return ""
}

// time reads a time of RFC 3339, or an empty string.
func (j *jsonReader) time() (string, error) {
	b, err := j.bytes()
	if err != nil || len(b) == 0 {
		return "", err
	}
	if string(b) == plainTime { // most entries have it, and share its memory
		return plainTime, nil
	}
	s := string(b)
	if _, err := time.Parse(time.RFC3339Nano, s); err != nil {
		return "", fmt.Errorf("%s is no time of RFC 3339", quote(s))
	}
	return s, nil
}

const plainTime = "1970-01-01T00:00:01Z"

func (j *jsonReader) digest() (string, error) {
	s, err := j.text()
	if err != nil || s == "" {
		return "", err
	}
	d, err := parseDigest(s)
	return d.String(), err
}

func parseDigest(s string) (digest.Digest, error) {
	d, err := digest.Parse(s)
	if err != nil || d.Algorithm() != digest.SHA256 {
		return "", fmt.Errorf("%s is no SHA-256 digest", quote(s))
	}
	return d, nil
}

// xattrs reads an object of strings in base 64. It is nil if it is empty.
func (j *jsonReader) xattrs() (map[string]string, error) {
	if err := j.expect('{'); err != nil {
		return nil, err
	}
	var attrs map[string]string
	size := 0
	for first := true; ; first = false {
		more, err := j.more(first, '}')
		if err != nil || !more {
			return attrs, err
		}
		name, err := j.text()
		if err == nil {
			err = j.expect(':')
		}
		if err != nil {
			return nil, err
		}
		value, err := j.text()
		if err == nil {
			if _, wrong := strictBase64.DecodeString(value); wrong != nil {
				err = errors.New("it is not in base 64")
			}
		}
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", quote(name), err)
		}
		if _, ok := attrs[name]; ok {
			return nil, fmt.Errorf("attribute %s occurs twice", quote(name))
		}
		if size += len(name) + len(value); size > maxString {
			return nil, fmt.Errorf("attributes have more than %d bytes", maxString)
		}
		if attrs == nil {
			attrs = make(map[string]string)
		}
		attrs[name] = value
	}
}

// tableReader decompresses a table.
type tableReader struct {
	z    *zstd.Decoder
	most int64 // bytes once decompressed
	want int64 // likewise, as declared
	n    int64 // bytes read
}

// maxTableWindow limits the memory for decompressing a table. No level of package zstd needs more.
const maxTableWindow = 32 << 20

// openTable reads a compressed table from r, and checks its digest before it decompresses anything.
// Once decompressed it may have at most most bytes.
func openTable(r io.Reader, span Span, most int64, want digest.Digest) (*tableReader, error) {
	var compressed bytes.Buffer // grows with what is read, not with what is declared
	n, err := io.Copy(&compressed, io.LimitReader(r, min(span.Length, MaxTable)))
	if err != nil {
		return nil, err
	}
	if n != span.Length {
		return nil, fmt.Errorf("it ends after %d of %d bytes", n, span.Length)
	}
	return newTableReader(compressed.Bytes(), span, most, want)
}

func newTableReader(compressed []byte, span Span, most int64, want digest.Digest) (*tableReader, error) {
	if got := digest.FromBytes(compressed); got != want {
		return nil, fmt.Errorf("it has the digest %s, want %s", got, want)
	}
	z, err := zstd.NewReader(bytes.NewReader(compressed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxTableWindow))
	if err != nil {
		return nil, err
	}
	return &tableReader{z: z, most: min(most, span.Uncompressed), want: span.Uncompressed}, nil
}

// Read reads the decompressed table. It fails where the table has another length than it should.
func (t *tableReader) Read(p []byte) (int, error) {
	n, err := t.z.Read(p)
	t.n += int64(n)
	switch {
	case t.n > t.most:
		return 0, fmt.Errorf("it has more than %d bytes once decompressed", t.most)
	case err == io.EOF && t.n != t.want:
		return 0, fmt.Errorf("it has %d bytes once decompressed, want %d", t.n, t.want)
	}
	return n, err
}

func (t *tableReader) close() { t.z.Close() }
