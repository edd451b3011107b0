package chunked

import (
	"errors"
	"fmt"
	"time"

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
