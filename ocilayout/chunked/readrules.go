package chunked

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
)

// tocRules checks what one entry of a TOC must be after the entries before it.
type tocRules struct {
	dataEnd int64 // where the contents of files end in the blob, at the latest
	end     int64 // where the contents before the next entry end in the blob

	names map[nameHash]kind

	file    string // the last file, if it can have further chunks
	size    int64  // of the file
	covered int64  // how much of the file its chunks cover
	chunked bool   // its own entry describes its first chunk
	fileEnd int64  // where it ends in the blob
}

type nameHash [16]byte

type kind byte

const (
	kindDir kind = iota + 1
	kindOther
)

func newTOCRules(loc Location) tocRules {
	end := min(loc.TOC.Offset, loc.TarSplit.Offset) - skippableHead
	return tocRules{dataEnd: end, names: make(map[nameHash]kind)}
}

// MaxEntries limits how many entries, and how many chunks, a reader of this package takes from one layer.
const MaxEntries = 1 << 20

// add checks the next entry.
func (t *tocRules) add(e *Entry) error {
	fail := func(err error) error { return &EntryError{e.Name, err} }
	if e.Type == TypeChunk {
		if err := t.addChunk(e); err != nil {
			return fail(err)
		}
		return nil
	}
	if err := t.finish(); err != nil {
		return err
	}
	if e.Name == "" {
		return errors.New("it has no name")
	}
	name, err := cleanName(e.Name)
	if err != nil {
		return fail(err)
	}
	if e.Type == "" {
		return fail(errors.New("has no type"))
	}
	key := hashName(name)
	if _, ok := t.names[key]; ok {
		return fail(errors.New("occurs twice"))
	}
	if len(t.names) == MaxEntries {
		return fmt.Errorf("it has more than %d entries", MaxEntries)
	}
	t.names[key] = kindOf(e.Type)
	if err := t.checkType(e); err != nil {
		return fail(err)
	}
	if e.Type != TypeFile || e.Size == 0 {
		return nil
	}
	if err := t.beginFile(e); err != nil {
		return fail(err)
	}
	return nil
}

func kindOf(entryType string) kind {
	if entryType == TypeDir {
		return kindDir
	}
	return kindOther
}

func hashName(clean string) nameHash {
	sum := sha256.Sum256([]byte(clean))
	return nameHash(sum[:])
}

// cleanName returns a name without the "./" before it and the slash behind it.
// The root is "". It is an error if the name can lead out of the tree.
func cleanName(name string) (string, error) {
	if strings.HasPrefix(name, "/") {
		return "", errors.New("is an absolute path")
	}
	if strings.IndexByte(name, 0) >= 0 {
		return "", errors.New("has a NUL in its name")
	}
	clean := strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	if clean == "" && name != "" || clean == "." {
		return "", nil
	}
	for element := range strings.SplitSeq(clean, "/") {
		switch element {
		case "..":
			return "", errors.New("leads out of the tree")
		case "", ".":
			return "", errors.New("has an element in its name that is empty or a dot")
		}
	}
	return clean, nil
}

// checkType checks that an entry has the fields of its type, and only these.
func (t *tocRules) checkType(e *Entry) error {
	isDevice := e.Type == TypeChar || e.Type == TypeBlock
	switch {
	case e.Type == TypeHardlink:
		if err := t.checkHardLink(e); err != nil {
			return err
		}
	case e.Type == TypeSymlink && e.LinkName == "":
		return errors.New("is a symbolic link without a target")
	case e.Type != TypeSymlink && e.LinkName != "":
		return errors.New("is no link, but has a target")
	}
	switch {
	case !isDevice && (e.DevMajor != 0 || e.DevMinor != 0):
		return errors.New("is no device, but has a device number")
	case e.Type != TypeFile && e.Size != 0:
		return errors.New("is no file, but has a size")
	case e.Size != 0:
		return nil
	}
	empty := e.Type == TypeFile && e.Digest == emptyDigest
	if e.Digest != "" && !empty || e.Offset != 0 || e.EndOffset != 0 || e.ChunkSize != 0 || e.ChunkOffset != 0 || e.ChunkDigest != "" || e.ChunkType != "" {
		return errors.New("has no contents, but the digest or the place of some")
	}
	return nil
}

func (t *tocRules) checkHardLink(e *Entry) error {
	target, err := cleanName(e.LinkName)
	if err != nil {
		return fmt.Errorf("is a hard link to %s, which %w", quote(e.LinkName), err)
	}
	name, _ := cleanName(e.Name)
	switch kind := t.names[hashName(target)]; {
	case target == name:
		return errors.New("is a hard link to itself")
	case kind == 0:
		return fmt.Errorf("is a hard link to %s, which is no entry before it", quote(e.LinkName))
	case kind == kindDir:
		return fmt.Errorf("is a hard link to the directory %s", quote(e.LinkName))
	}
	return nil
}

const emptyDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// beginFile checks the contents of a file that is not empty.
func (t *tocRules) beginFile(e *Entry) error {
	switch {
	case e.Digest == "":
		return errors.New("has no digest")
	case e.ChunkOffset != 0:
		return fmt.Errorf("its first chunk begins at byte %d of the file", e.ChunkOffset)
	case e.ChunkSize > e.Size:
		return fmt.Errorf("its first chunk has %d bytes, but the file has %d", e.ChunkSize, e.Size)
	case e.EndOffset <= e.Offset:
		return fmt.Errorf("ends at byte %d of the blob, but begins at byte %d", e.EndOffset, e.Offset)
	case e.EndOffset > t.dataEnd:
		return fmt.Errorf("ends at byte %d of the blob, but the contents end at byte %d", e.EndOffset, t.dataEnd)
	}
	if err := t.place(e); err != nil {
		return err
	}
	t.file, t.size, t.fileEnd = e.Name, e.Size, e.EndOffset
	t.chunked, t.covered = e.ChunkSize != 0, e.ChunkSize
	if e.ChunkSize == 0 {
		if e.ChunkType != "" || e.ChunkDigest != "" {
			return errors.New("has the digest or the type of a chunk, but no size of it")
		}
		t.covered = e.Size
	}
	return t.checkChunkDigest(e)
}

// place checks that contents begin behind all earlier ones.
func (t *tocRules) place(e *Entry) error {
	if e.Offset < t.end || e.Offset == 0 {
		return fmt.Errorf("begins at byte %d of the blob, but the contents before it end at byte %d or later", e.Offset, t.end)
	}
	t.end = e.Offset + 1 // at least; finish and addChunk know more
	return nil
}

func (t *tocRules) checkChunkDigest(e *Entry) error {
	switch {
	case t.chunked && e.ChunkDigest == "":
		return errors.New("has a chunk without a digest")
	case t.chunked && e.ChunkSize == e.Size && e.ChunkDigest != e.Digest:
		return errors.New("has one chunk, but its digest is another than the file's")
	}
	return nil
}

// addChunk checks a further chunk of a file.
func (t *tocRules) addChunk(e *Entry) error {
	switch {
	case t.file == "" || e.Name != t.file:
		return errors.New("is a chunk, but not behind its file")
	case !t.chunked:
		return errors.New("has several chunks, but the first one has no size")
	case e.LinkName != "" || e.Mode != 0 || e.Size != 0 || e.UID != 0 || e.GID != 0 || e.ModTime != "" || e.AccessTime != "" || e.ChangeTime != "" ||
		e.DevMajor != 0 || e.DevMinor != 0 || e.Xattrs != nil || e.Digest != "":
		return errors.New("has a chunk with fields that only a file has")
	case e.ChunkSize == 0:
		return errors.New("has a chunk without a size")
	case e.ChunkDigest == "":
		return errors.New("has a chunk without a digest")
	case e.ChunkOffset != t.covered:
		return fmt.Errorf("has a chunk at byte %d of the file, but the chunks before it end at byte %d", e.ChunkOffset, t.covered)
	case e.ChunkSize > t.size-t.covered:
		return fmt.Errorf("has chunks of more than its %d bytes", t.size)
	case e.Offset >= t.fileEnd:
		return fmt.Errorf("has a chunk at byte %d of the blob, but ends at byte %d", e.Offset, t.fileEnd)
	case e.EndOffset != 0 && (e.EndOffset <= e.Offset || e.EndOffset > t.fileEnd):
		return fmt.Errorf("has a chunk that ends at byte %d of the blob", e.EndOffset)
	}
	t.covered += e.ChunkSize
	if err := t.place(e); err != nil {
		return err
	}
	t.end = max(t.end, e.EndOffset)
	return nil
}

// finish checks that the chunks of the last file cover it.
func (t *tocRules) finish() error {
	if t.file == "" {
		return nil
	}
	file := t.file
	t.file = ""
	if t.covered != t.size {
		return &EntryError{file, fmt.Errorf("its chunks end at byte %d of the file, but it has %d", t.covered, t.size)}
	}
	t.end = t.fileEnd
	return nil
}
