package exportstore

import (
	"bytes"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
)

// These limits bound the memory for one stream. The largest stores reach a tenth of them.
const (
	maxObjects    = 4 << 20
	maxReferences = 16 << 20
)

// indexer locates the objects of a stream.
type indexer struct {
	*Store
	w          *nar.Wire
	references int // of all objects so far
	signatures int // bytes, of all objects so far
}

func (r *indexer) index() error {
	next, second := r.nario1, string(r.w.Peek(len(nario2Magic))) == nario2Magic
	if second {
		if _, err := r.w.Uint64(); err != nil {
			return err
		}
		next = r.nario2
	}
	for {
		switch more, err := r.w.Uint64(); {
		case err != nil:
			return err
		case more == 0:
			return r.checkEnd(r.w)
		case second && unsupported[more] != "":
			return r.refuse(unsupported[more])
		case more != 1:
			return fmt.Errorf("number %d instead of 1 (another object follows) or 0 (end)", more)
		}
		o, err := next()
		if err == nil {
			err = r.add(o)
		}
		if err != nil {
			return err
		}
	}
}

// nar reads a NAR into h, a new SHA-256, and returns its offset, hash and size.
func (r *indexer) nar(h hash.Hash) (begin int64, sum profile.Hash, size int64, err error) {
	begin = r.w.Offset()
	r.w.Tee = h
	defer func() { r.w.Tee = nil }()
	for _, err := range nar.Read(r.w, "object") {
		if err != nil {
			return 0, sum, 0, err
		}
	}
	return begin, profile.Hash(h.Sum(nil)), r.w.Offset() - begin, nil
}

// add adds an object. A stream may repeat an object if its content is the same.
func (r *indexer) add(o object) error {
	p := o.info.Path
	if had, ok := r.objects[p]; ok {
		if had.info.NarHash != o.info.NarHash || !slices.Equal(had.info.References, o.info.References) {
			return fmt.Errorf("%q occurs twice with different content", p)
		}
		return nil
	}
	if len(r.objects) == maxObjects {
		return fmt.Errorf("more than %d objects", maxObjects)
	}
	r.objects[p] = o
	return nil
}

// readReferences reads the references of an object, and sorts them. read reads one of them.
func (r *indexer) readReferences(of profile.Path, read func(*nar.Wire) (profile.Path, error)) ([]profile.Path, error) {
	n, err := r.w.Uint64()
	if err != nil {
		return nil, err
	}
	var refs []profile.Path
	for range n {
		ref, err := read(r.w)
		if err != nil {
			return nil, fmt.Errorf("references of %q: %w", of, err)
		}
		if err := ref.CheckIn(r.dir); err != nil {
			return nil, fmt.Errorf("references of %q: %w", of, err)
		}
		if r.references++; r.references > maxReferences {
			return nil, fmt.Errorf("references of %q: more than %d in one stream", of, maxReferences)
		}
		if had, ok := r.objects[ref]; ok {
			ref = had.info.Path // share the string's memory
		}
		refs = append(refs, ref)
	}
	slices.Sort(refs)
	return slices.Clip(slices.Compact(refs)), nil
}

// maxGap is how many bytes after a stream are searched for another one.
const maxGap = 512

// checkEnd looks at what follows the stream.
//
// Nix ignores it. It may be a newline, or whatever a raw device contained before a stream was written to it.
// Another stream is an error, since ignoring it loses its objects.
func (s *Store) checkEnd(w *nar.Wire) error {
	rest := w.Peek(maxGap)
	s.trailing = len(rest) > 0
	s.in.Forget()
	if s.in.Compression() != "" { // the decompressor checks its last bytes at the end only
		if _, err := io.Copy(io.Discard, s.in); err != nil {
			return fmt.Errorf("after the end of the stream: %w", err)
		}
	}
	if err := w.Err(); err != nil {
		return fmt.Errorf("after the end of the stream: %w", err)
	}
	gap := 0
	for len(rest)-gap >= 8 && bytes.Equal(rest[gap:gap+8], streamEnd) { // an empty stream, or just zeros
		gap += 8
	}
	switch {
	case beginsStream(rest[gap:]):
		return errors.New("another export stream begins here: export all paths into one stream, or read the streams one by one")
	case beginsObject(rest):
		return errors.New("an object follows the end of the stream: it was changed or damaged")
	}
	return nil
}

// beginsObject reports whether head is the beginning of an object, without the number 1 before it:
// that number may have been damaged to the end of the stream.
func beginsObject(head []byte) bool {
	if bytes.HasPrefix(head, narMagic) {
		return true
	}
	path, err := nar.NewWire(bytes.NewReader(head)).String(maxPath)
	return err == nil && profile.CheckBase(path) == nil
}
