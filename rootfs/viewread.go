package rootfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Read reads the first limit bytes of regular files. The paths are those that Stat returned.
// It walks each part once, however many of its files it reads.
func (v *View) Read(limit int64, paths ...string) (map[string][]byte, error) {
	wanted := make(map[string]map[string]bool) // root → paths
	for _, p := range paths {
		root, ok := v.rootOf(p)
		if !ok {
			return nil, fmt.Errorf("read %q: %w", p, ErrOutside)
		}
		if wanted[root] == nil {
			wanted[root] = make(map[string]bool)
		}
		wanted[root][p] = true
	}
	contents := make(map[string][]byte, len(paths))
	for root, files := range wanted {
		if err := v.readPart(root, limit, files, contents); err != nil {
			return nil, err
		}
	}
	return contents, nil
}

// readThrough reads a file so that the tree can check its hash.
func readThrough(e Entry) (err error) {
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return Drain(r)
}

// brokenError is the error of a part that cannot be read. It hides fs.ErrNotExist,
// so that it does not look like a path that leads nowhere.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }

func (e *brokenError) Is(target error) bool {
	return target != fs.ErrNotExist && errors.Is(e.err, target)
}

func (e *brokenError) As(target any) bool { return errors.As(e.err, target) }

// maxHead limits the first bytes of a file that are remembered as a fact.
const maxHead = 64

// readPart reads files of one part into contents.
func (v *View) readPart(root string, limit int64, files map[string]bool, contents map[string][]byte) error {
	key := v.part(root).Key
	kind := fmt.Sprintf("head%d", limit)
	heads := make(map[string][]byte)
	if limit <= maxHead {
		heads = decodeHeads(v.facts.Load(kind, key))
	}
	for path := range files {
		if b, ok := heads[path[len(root):]]; ok {
			contents[path] = b
			delete(files, path)
		}
	}
	if len(files) == 0 {
		return nil
	}
	part := v.part(root)
	read := make(map[string][]byte, len(files))
	for e, err := range part.Tree {
		if err != nil {
			return err
		}
		switch {
		case files[e.Path]:
			b, err := readHead(e, limit, part.Unproven)
			if err != nil {
				return fmt.Errorf("read %q: %w", e.Path, err)
			}
			read[e.Path] = b
		case part.Unproven && e.IsRegular():
			if err := readThrough(e); err != nil {
				return fmt.Errorf("read %q: %w", e.Path, err)
			}
		}
	}
	// The key is proven only now, after the whole walk.
	for path := range files {
		b, ok := read[path]
		if !ok {
			return fmt.Errorf("read %q: %w", path, fs.ErrNotExist)
		}
		contents[path], heads[path[len(root):]] = b, b
	}
	if limit <= maxHead {
		v.facts.Keep(kind, key, encodeHeads(heads))
	}
	return nil
}

// readHead reads the first limit bytes of a file. With through, it also reads the rest, so that the tree can check its hash.
func readHead(e Entry, limit int64, through bool) (_ []byte, err error) {
	if !e.IsRegular() {
		return nil, errors.New("not a regular file")
	}
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	b, err := io.ReadAll(io.LimitReader(r, min(limit, e.Size)))
	if err == nil && int64(len(b)) < min(limit, e.Size) {
		err = io.ErrUnexpectedEOF
	}
	if err == nil && through {
		err = Drain(r)
	}
	return b, err
}
