package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/profile/nar"
)

// largeSize is the mean size of an object of a large store, in bytes.
const largeSize = 5_000_000

// largeStore makes a store of count objects. Each hundred has the same mix of contents:
// 500 MB, with 100 MB on disk and the rest in holes. So larger stores differ only in their size.
//
// Every object mentions the objects that it refers to, some earlier ones, and more often the first ones, as with libraries.
// The last object refers to all. The file "object" has its path.
// The file "revised" has the path of another last object. It has another object in the place of one in each hundred,
// which only the last object needs.
func largeStore(ctx context.Context, root string, count int) error {
	if count < 100 || count%100 != 0 {
		return fmt.Errorf("%d objects: want a multiple of 100", count)
	}
	db, err := createDB(root)
	if err != nil {
		return err
	}
	objects := largeObjects(count)
	if err := writeAll(ctx, root, objects); err != nil {
		return err
	}
	for _, o := range objects {
		if err := db.add(o.path, o.hash, o.size, o.references); err != nil {
			return err
		}
	}
	last := objects[len(objects)-2:]
	return errors.Join(db.close(),
		os.WriteFile(root+"/object", []byte(last[0].path), 0o644),
		os.WriteFile(root+"/revised", []byte(last[1].path), 0o644))
}

// largeObject is an object of a large store.
type largeObject struct {
	serial     int // decides the contents
	path       profile.Path
	references []profile.Path
	hash       profile.Hash
	size       int64
}

// largeObjects returns all objects, without hashes and sizes: count-1 objects, then the revised ones, then the two last ones.
func largeObjects(count int) []*largeObject {
	object := func(serial int, name string, references []profile.Path) *largeObject {
		return &largeObject{serial: serial, path: profile.Path("/nix/store/" + digest(name) + "-" + name), references: references}
	}
	var all, revised []*largeObject
	var before, after []profile.Path
	random := rand.New(rand.NewPCG(3, 4))
	var libraries []profile.Path // those that others may refer to
	for i := range count - 1 {
		var references []profile.Path
		seen := make(map[int]bool)
		for range min(10, len(libraries)) {
			x := random.Float64()
			if n := int(x * x * float64(len(libraries))); !seen[n] {
				seen[n] = true
				references = append(references, libraries[n])
			}
		}
		o := object(i, fmt.Sprintf("large-%05d", i), references)
		all, before = append(all, o), append(before, o.path)
		if i%100 != leaf {
			libraries, after = append(libraries, o.path), append(after, o.path)
			continue
		}
		next := object(i, fmt.Sprintf("large-%05d-revised", i), references)
		revised, after = append(revised, next), append(after, next.path)
	}
	return append(append(all, revised...), object(count-1, "large-environment", before), object(count-1, "large-environment-revised", after))
}

// leaf is the place in each hundred of an object that only the last one needs. It has some small files and a text.
const leaf = 65

// writeAll writes the files of all objects on all cores, and sets their hashes and sizes.
func writeAll(ctx context.Context, root string, objects []*largeObject) error {
	store, err := localstore.Open(ctx, root, localstore.Options{NoDatabase: true})
	if err != nil {
		return err
	}
	next := make(chan *largeObject)
	failed := make(chan error, runtime.NumCPU())
	var group sync.WaitGroup
	for range runtime.NumCPU() {
		group.Go(func() {
			var err error
			for o := range next {
				if err == nil {
					err = o.write(ctx, root, store)
				}
			}
			failed <- err
		})
	}
	for _, o := range objects {
		next <- o
	}
	close(next)
	group.Wait()
	close(failed)
	for e := range failed {
		err = errors.Join(err, e)
	}
	return errors.Join(err, store.Close())
}

func (o *largeObject) write(ctx context.Context, root string, store *localstore.Store) error {
	w := largeWriter{dir: filepath.Join(root, o.path.Root()), random: rand.NewChaCha8(sha256.Sum256([]byte(o.path)))}
	for _, p := range o.references {
		w.mentions = append(w.mentions, string(p))
	}
	w.fill(o.serial % 100)
	if w.err != nil {
		return w.err
	}
	h, size := sha256.New(), &counter{}
	err := nar.Write(io.MultiWriter(h, size), store.Files(ctx, o.path), o.path.Root())
	o.hash, o.size = profile.Hash(h.Sum(nil)), size.n
	return err
}

// largeWriter writes the files of one object. It keeps its first error.
type largeWriter struct {
	dir      string
	random   *rand.ChaCha8
	mentions []string // store paths to mention in texts
	err      error
}

// fill writes what an object at a place in its hundred has.
func (w *largeWriter) fill(place int) {
	const kib, mib = 1 << 10, 1 << 20
	w.file("share/doc", w.text(2*kib))
	switch {
	case place < 60: // many small files, as in a Python package
		for i := range 40 {
			w.file(fmt.Sprintf("lib/site/module%d/part%02d.py", i%4, i), w.text(int(w.random.Uint64()%(4*kib))))
		}
	case place < 80: // a program
		for i := range 8 {
			w.file(fmt.Sprintf("share/locale/%02d/LC_MESSAGES/messages.mo", i), w.text(8*kib))
		}
		w.file("bin/program", w.text(1400*kib))
	case place < 90: // what does not compress: fonts, pictures, archives
		w.file("share/archive.xz", w.noise(3*mib))
	case place < 94, place == 99: // a link farm; the last object is one, too
		for i, p := range w.mentions {
			w.link(fmt.Sprintf("nix-support/input%d", i), p)
		}
		for i := range 100 {
			w.link(fmt.Sprintf("share/man/man1/page%d.1", i), "../../doc")
		}
		w.file("lib/original", w.text(64*kib))
		for i := range 4 {
			w.hardLink("lib/original", fmt.Sprintf("lib/copy%d", i))
		}
	case place < 98: // a file with holes, as of a database
		w.holes("share/table", 40*mib, 256*kib, 4*mib)
	default: // a huge file, mostly holes
		w.holes("share/image.raw", 250*mib, 1*mib, 12*mib)
	}
}

func (w *largeWriter) file(name string, content []byte) {
	w.create(name, func(f *os.File) error {
		_, err := f.Write(content)
		return err
	})
}

// holes writes a file whose periods begin with data and end with a hole.
func (w *largeWriter) holes(name string, size, data, period int64) {
	w.create(name, func(f *os.File) error {
		for at := int64(0); at < size; at += period {
			content := w.noise(int(min(data, size-at)))
			copy(content[len(content)/2:], w.text(len(content)/2))
			if _, err := f.WriteAt(content, at); err != nil {
				return err
			}
		}
		return f.Truncate(size)
	})
}

// place returns the path of a new file, and makes its directory.
func (w *largeWriter) place(name string) string {
	file := filepath.Join(w.dir, name)
	if w.err == nil {
		w.err = os.MkdirAll(filepath.Dir(file), 0o755)
	}
	return file
}

func (w *largeWriter) create(name string, write func(*os.File) error) {
	file := w.place(name)
	if w.err != nil {
		return
	}
	mode := os.FileMode(0o444)
	if strings.HasPrefix(name, "bin/") {
		mode = 0o555
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		w.err = err
		return
	}
	w.err = errors.Join(write(f), f.Close())
}

func (w *largeWriter) link(name, target string) {
	if file := w.place(name); w.err == nil {
		w.err = os.Symlink(target, file)
	}
}

func (w *largeWriter) hardLink(from, name string) {
	if file := w.place(name); w.err == nil {
		w.err = os.Link(filepath.Join(w.dir, from), file)
	}
}

// noise returns bytes that do not compress.
func (w *largeWriter) noise(size int) []byte {
	b := make([]byte, size)
	_, _ = w.random.Read(b) // never fails
	return b
}

// text returns lines that compress to about a third, with the mentions in front.
func (w *largeWriter) text(size int) []byte {
	b := make([]byte, 0, size+128)
	for _, m := range w.mentions {
		b = append(append(b, m...), '\n')
	}
	for len(b) < size {
		word := w.random.Uint64()
		// Few words are frequent, and most are rare.
		b = fmt.Appendf(b, "%x ", word%(1<<(word>>60+4))*0x9e3779b1%0xfffffff)
		if word>>32%12 == 0 {
			b = append(b, '\n')
		}
	}
	return b[:size]
}
