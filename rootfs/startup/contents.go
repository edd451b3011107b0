package startup

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// Source is a piece of an image whose files are read in one walk: a store object, the base files,
// a layer of an image that is finished.
type Source struct {
	// Name is what errors call it.
	Name string
	// Key promises the content, as that of a rootfs.Part does.
	Key      string
	Unproven bool // true only when all has been read, as rootfs.Part has it
	// Root is what all paths of Tree have in common.
	Root string
	// Tree has the regular files, and may have others, in any order.
	Tree rootfs.Tree
}

// contents is what was found in the files of a source.
type contents struct {
	Entries []rootfs.Entry         // as they came; only if they follow the rules of trees
	Files   map[string]*startable  // by path below the root, of files that may be started or loaded
	Names   map[string]storeNaming // store objects, by base name, that are named in it; nil if nobody looked
}

// startable is what was found in a file that may be started or loaded.
type startable struct {
	Binary *binaryFile // an ELF file
	Script []byte      // the first bytes of what begins with #!
}

// storeNaming is where a store object is named first.
type storeNaming struct{ Path string }

// maxRewalks is how often a source is walked again for files that cannot be read forwards.
const maxRewalks = 8

// mayStart says whether a file is looked into: it is executable, or called like a library.
func mayStart(e rootfs.Entry) bool {
	return e.IsRegular() && (e.Mode&0o111 != 0 || isLibraryName(path.Base(e.Path)))
}

func isLibraryName(name string) bool {
	return strings.HasSuffix(name, ".so") || strings.Contains(name, ".so.")
}

// look walks a source. With names, it reads all bytes of it and looks for names of store objects.
// Facts spare it that for what was looked at before.
func (s *Source) look(facts *rootfs.Facts, names bool) (*contents, error) {
	kinds := []string{"startup1-named"}
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
		if err := s.walk(c, walk == 0, missing, again); err != nil {
			return nil, fmt.Errorf("look at %q: %w", s.Name, err)
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

// relative is what is kept of it: equal sources may have different roots.
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

// walk goes through the source once. The first time, it looks at all files, and else only at missing ones.
// Again is where it passed something that it needs.
func (s *Source) walk(c *contents, first bool, missing, again map[string][]span) error {
	for e, err := range s.Tree {
		if err != nil {
			return err
		}
		if first {
			kept := e
			kept.Open = nil
			c.Entries = append(c.Entries, kept)
			if c.Names != nil && e.IsLink() {
				c.findNames(e, strings.NewReader(e.Target))
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
		if err := s.file(c, e, name, wanted, first, keep, again); err != nil {
			return fmt.Errorf("%q: %w", "/"+e.Path, err)
		}
	}
	return nil
}

// file looks at one file.
func (s *Source) file(c *contents, e rootfs.Entry, name string, wanted, first bool, keep []span, again map[string][]span) (err error) {
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	all := s.Unproven || first && c.Names != nil
	f, _ := r.(*os.File)
	if wanted && f != nil && !s.Unproven {
		c.Files[name], err = lookAt(f, e.Size)
		if err != nil || !all {
			return err
		}
	}
	var names *nameFinder
	var in io.Reader = r
	if first && c.Names != nil {
		names = &nameFinder{found: func(base string) { c.name(base, e.Path) }}
		in = io.TeeReader(r, names)
	}
	if wanted && (f == nil || s.Unproven) {
		ahead := &forward{r: in, keep: keep}
		c.Files[name], err = lookAt(ahead, e.Size)
		var passed *passedError
		if errors.As(err, &passed) {
			err = nil
			again[name] = append(keepAgain(keep), span{offset: passed.offset, size: passed.size + keptAround})
		}
		if err != nil {
			return err
		}
	}
	if all {
		if err := rootfs.Drain(in); err != nil {
			return err
		}
		if names != nil {
			names.end()
		}
	}
	return nil
}

// keepAgain are the same spans, without what was passed.
func keepAgain(keep []span) []span {
	var again []span
	for _, s := range keep {
		again = append(again, span{offset: s.offset, size: s.size})
	}
	return again
}

// lookAt finds out what a file is.
func lookAt(r io.ReaderAt, size int64) (*startable, error) {
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

// maxRead is how large a file can be that is read as a whole.
const maxRead = 64 << 20

// read reads files of the source, by their paths there, in one walk.
func (s *Source) read(paths map[string]bool, limit int64) (map[string][]byte, error) {
	got := make(map[string][]byte)
	for e, err := range s.Tree {
		if err != nil {
			return nil, err
		}
		if !e.IsRegular() || !paths[e.Path] && !s.Unproven {
			continue
		}
		b, err := readOne(e, paths[e.Path], limit)
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

func readOne(e rootfs.Entry, wanted bool, limit int64) (b []byte, err error) {
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
