package chunked

import (
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
)

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
