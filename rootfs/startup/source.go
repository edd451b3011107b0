package startup

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// Source is a piece of an image whose files are read in one walk: a store object, the base files,
// or a layer of a finished image.
type Source struct {
	Name string // for errors
	// Key promises the content, like the Key of a rootfs.Part.
	Key      string
	Unproven bool // the promise holds only once everything has been read; see rootfs.Part
	// Root is the common prefix of all paths of Tree.
	Root string
	// Tree yields the regular files, and may yield others, in any order.
	Tree rootfs.Tree
}

// contents holds the findings about the files of a source.
// Its gob encoding is a fact in the cache: that includes the names of types and fields, and the texts of Damage.
type contents struct {
	Entries []rootfs.Entry         // in the order of Tree
	Files   map[string]*startable  // files that may be started or loaded, by path below the root
	Names   map[string]storeNaming // store objects that the files name, by base name; nil if not searched
}

// startable holds the findings about a file that may be started or loaded. Both are nil if the file is of no known kind.
type startable struct {
	Binary *binaryFile // an ELF file
	Script []byte      // the first bytes of a file that begins with #!
}

// storeNaming is the path of the first file that names a store object.
type storeNaming struct{ Path string }

// maxRewalks limits how often a source is walked again for files that need backward reads.
const maxRewalks = 8

// mayStart reports whether a file may be started or loaded: it is executable, or named like a library.
func mayStart(e rootfs.Entry) bool {
	return e.IsRegular() && (e.Mode&0o111 != 0 || isLibraryName(path.Base(e.Path)))
}

func isLibraryName(name string) bool {
	return strings.HasSuffix(name, ".so") || strings.Contains(name, ".so.")
}

// scan walks a source. With names, it reads every byte and collects the names of store objects.
// A source whose contents are in facts is not read.
func (s *Source) scan(facts *rootfs.Facts, store rootfs.StoreDir, names bool) (*contents, error) {
	kinds := []string{store.FactKind("startup1-named")}
	if !names {
		kinds = append(kinds, "startup1")
	}
	for _, kind := range kinds {
		if c := decodeContents(facts.Load(kind, s.Key), s.Root); c != nil {
			return c, nil
		}
	}
	c := &contents{Files: make(map[string]*startable)}
	if names {
		c.Names = make(map[string]storeNaming)
	}
	missing := map[string][]span{}
	for walk := 0; ; walk++ {
		again := make(map[string][]span)
		if err := s.walk(c, store, walk == 0, missing, again); err != nil {
			return nil, fmt.Errorf("scan %q: %w", s.Name, err)
		}
		if len(again) == 0 {
			break
		}
		if missing = again; walk == maxRewalks {
			for name := range missing {
				c.Files[name] = &startable{Binary: &binaryFile{Damage: "its parts are in no order"}}
			}
			break
		}
	}
	var fact bytes.Buffer
	if gob.NewEncoder(&fact).Encode(c.relative(s.Root)) == nil {
		facts.Keep(kinds[len(kinds)-1], s.Key, fact.Bytes())
	}
	return c, nil
}

// relative returns the contents with paths below the root, for the fact: equal sources may have different roots.
func (c *contents) relative(root string) *contents {
	kept := &contents{Files: c.Files, Names: c.Names, Entries: make([]rootfs.Entry, len(c.Entries))}
	for i, e := range c.Entries {
		e.Path = strings.TrimPrefix(e.Path, root)
		kept.Entries[i] = e
	}
	return kept
}

func decodeContents(fact []byte, root string) *contents {
	if fact == nil {
		return nil
	}
	c := &contents{}
	if gob.NewDecoder(bytes.NewReader(fact)).Decode(c) != nil {
		return nil
	}
	for i := range c.Entries {
		c.Entries[i].Path = root + c.Entries[i].Path
	}
	return c
}

// walk walks the source once. The first walk reads all files, and later walks only the missing ones.
// walk adds to again the files that need another walk, with the spans to keep then.
func (s *Source) walk(c *contents, store rootfs.StoreDir, first bool, missing, again map[string][]span) error {
	for e, err := range s.Tree {
		if err != nil {
			return err
		}
		if first {
			kept := e
			kept.Open = nil
			c.Entries = append(c.Entries, kept)
			if c.Names != nil && e.IsLink() {
				c.findNames(store, e, strings.NewReader(e.Target))
			}
		}
		if !e.IsRegular() {
			continue
		}
		name := strings.TrimPrefix(e.Path, s.Root)
		keep, wanted := missing[name]
		if first {
			wanted = mayStart(e)
		}
		if !wanted && !s.Unproven && !(first && c.Names != nil) {
			continue
		}
		if err := s.scanFile(c, store, e, name, wanted, first, keep, again); err != nil {
			return fmt.Errorf("%q: %w", "/"+e.Path, err)
		}
	}
	return nil
}

// emptySpans returns the same spans without their bytes.
func emptySpans(keep []span) []span {
	var again []span
	for _, s := range keep {
		again = append(again, span{offset: s.offset, size: s.size})
	}
	return again
}

// classify reads an ELF file or the first bytes of a script.
func classify(r io.ReaderAt, size int64) (*startable, error) {
	head := make([]byte, min(size, headSize))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte(elfMagic)):
		b, err := readBinary(r, size)
		return &startable{Binary: b}, err
	case bytes.HasPrefix(head, []byte("#!")):
		return &startable{Script: head}, nil
	}
	return &startable{}, nil
}

// maxRead limits the size of files that are read as a whole.
const maxRead = 64 << 20

// read reads up to limit bytes of each of the given files, in one walk.
func (s *Source) read(paths map[string]bool, limit int64) (map[string][]byte, error) {
	got := make(map[string][]byte)
	for e, err := range s.Tree {
		if err != nil {
			return nil, err
		}
		if !e.IsRegular() || !paths[e.Path] && !s.Unproven {
			continue
		}
		b, err := readFile(e, paths[e.Path], limit)
		if err != nil {
			return nil, fmt.Errorf("read %q: %w", "/"+e.Path, err)
		}
		if paths[e.Path] {
			got[e.Path] = b
		}
	}
	for p := range paths {
		if _, ok := got[p]; !ok {
			return nil, fmt.Errorf("read %q: %w", "/"+p, fs.ErrNotExist)
		}
	}
	return got, nil
}

func readFile(e rootfs.Entry, wanted bool, limit int64) (b []byte, err error) {
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if wanted {
		if b, err = io.ReadAll(io.LimitReader(r, limit)); err != nil {
			return nil, err
		}
	}
	return b, rootfs.Drain(r)
}
