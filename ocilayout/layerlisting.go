package ocilayout

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// layerListing says what a layer does to the files below it.
// Facts store it with encoding/gob, so the names of its type and fields are part of their format.
type layerListing struct {
	Entries []listedEntry // in the order of the tar
	// Objects are the NAR hashes, in hexadecimal digits, of those store objects
	// whose entries come in path order and without others between them.
	Objects map[string]string
}

// listedEntry is an entry of a layer's tar.
type listedEntry struct {
	Kind     byte
	Path     string
	Mode     fs.FileMode
	UID, GID int
	Size     int64
	Target   string
	Source   string // of a regular file: the name in the tar that has its content
	Linked   string // of a hard link within the layer: the name of its target there
	Sum      []byte // SHA-256 of a regular file in the store
	Content  []byte // of a small file that nearly every caller reads: passwd and group
	Sparse   bool   // has no Sum, since holes may be of any size
}

// Kinds of entries.
const (
	entryPut    = 'p'
	entryOther  = 'o' // a device or the like
	entryHide   = 'h' // a whiteout of Path
	entryOpaque = 'q' // a whiteout of everything that lower layers have in Path
	entryLink   = 'l' // a hard link to Target, which is in a lower layer
)

// Limits of a layer that is read.
const (
	maxPlain       = 64 << 30  // bytes after decompression
	maxListedNames = 256 << 20 // bytes of names and targets, plus 64 for each entry

	// maxListedSparse bounds the bytes of all sparse files. They are not read, but callers add sizes up.
	// The lastlog of a user with a high number has a tebibyte.
	maxListedSparse = 1 << 50
)

// maxListedContent limits a file's content in a listing.
const maxListedContent = 256 << 10

// listingReader lists a layer while it reads it.
type listingReader struct {
	store   rootfs.StoreDir
	layer   *layerReader
	hash    func(rootfs.Tree, string) (string, int64, error)
	listing layerListing
	at      map[string]int  // index of the entry of each path
	seen    map[string]bool // store objects that had an entry
	names   int64           // total bytes
	sparse  sparseSum
	err     error

	content hash.Hash // hashes the current entry, if it is in the store or keep is set
	keep    bool      // keep the content in small
	small   []byte
}

func newListingReader(l *layerReader, store rootfs.StoreDir) *listingReader {
	return &listingReader{store: store, layer: l, at: make(map[string]int), seen: make(map[string]bool), sparse: sparseSum{most: maxListedSparse}}
}

// listLayer reads a layer once.
func listLayer(ctx context.Context, open OpenBlob, layer *BlobSource, store rootfs.StoreDir, narHash func(rootfs.Tree, string) (string, int64, error)) (_ *layerListing, err error) {
	l, err := openLayer(ctx, open, layer)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	r := newListingReader(l, store)
	r.hash = narHash
	r.listing.Objects = make(map[string]string)
	i, ok := r.next()
	for ok {
		if r.begins(i) {
			i, ok = r.object(i)
			continue
		}
		if o := objectOf(store, r.listing.Entries[i].Path); o != "" {
			delete(r.listing.Objects, o) // this entry is not among those that were hashed
			r.seen[o] = true
		}
		r.finish(i)
		i, ok = r.next()
	}
	if r.err != nil {
		return nil, r.err
	}
	return &r.listing, l.finish()
}

// objectOf returns the name of the store object that holds p, or "".
func objectOf(store rootfs.StoreDir, p string) string {
	name, _, _ := store.Cut(p)
	return name
}

// begins reports whether an entry is the first one of a store object, which can be hashed from here on.
func (r *listingReader) begins(i int) bool {
	e := r.listing.Entries[i]
	return r.hash != nil && e.Kind == entryPut && path.Dir(e.Path) == r.store.Root() && !r.seen[path.Base(e.Path)]
}

var errNotHashed = errors.New("cannot be hashed as it comes")

// object hashes the store object that begins with an entry, and returns the entry after the object.
func (r *listingReader) object(first int) (int, bool) {
	root := r.listing.Entries[first].Path
	current, inside := first, true
	more := true
	advance := func() {
		r.finish(current)
		current, more = r.next()
		inside = more && rootfs.Within(root, r.listing.Entries[current].Path)
	}
	whole := true
	tree := func(yield func(rootfs.Entry, error) bool) {
		for inside {
			e := r.listing.Entries[current]
			if e.Kind != entryPut || e.Mode.IsRegular() && (e.Source != e.Path || e.Sparse) {
				whole = false
				yield(rootfs.Entry{}, errNotHashed)
				return
			}
			entry := e.entry()
			if entry.IsRegular() {
				entry.Open = func() (io.ReadCloser, error) { return io.NopCloser(r), nil }
			}
			if !yield(entry, nil) {
				return
			}
			advance()
		}
	}
	hex, _, err := r.hash(rootfs.Check(root, tree), root)
	for inside {
		whole = false
		advance()
	}
	name := path.Base(root)
	if err == nil && whole && r.err == nil {
		r.listing.Objects[name] = hex
	}
	r.seen[name] = true
	return current, more
}

// Read reads the content of the current entry.
func (r *listingReader) Read(p []byte) (int, error) {
	n, err := r.layer.tar.Read(p)
	if r.content != nil {
		r.content.Write(p[:n])
	}
	if r.keep {
		r.small = append(r.small, p[:n]...)
	}
	if err != nil && err != io.EOF && r.err == nil {
		r.err = err
	}
	return n, err
}

// finish reads the rest of an entry's content.
func (r *listingReader) finish(i int) {
	if r.content == nil || r.err != nil {
		return
	}
	_ = rootfs.Drain(r) // Read keeps the error in r.err
	r.listing.Entries[i].Sum = r.content.Sum(nil)
	r.listing.Entries[i].Content = r.small
	r.content, r.keep, r.small = nil, false, nil
}

// next appends the next entry to the listing and returns its index.
func (r *listingReader) next() (int, bool) {
	for r.err == nil {
		h, err := r.layer.tar.Next()
		if err == io.EOF {
			return 0, false
		}
		if err != nil {
			r.err = fmt.Errorf("read layer: %w", err)
			break
		}
		e, ok, err := r.entry(h)
		if err != nil {
			r.err = fmt.Errorf("%.255q in the layer: %w", h.Name, err)
			break
		}
		if !ok {
			continue
		}
		i := len(r.listing.Entries)
		if r.names += int64(len(e.Path)+len(e.Target)) + 64; r.names > maxListedNames {
			r.err = fmt.Errorf("the names in the layer have more than %d bytes", maxListedNames)
			break
		}
		r.listing.Entries = append(r.listing.Entries, e)
		if e.Kind == entryPut {
			r.at[e.Path] = i
			if whole := e.Mode.IsRegular() && e.Source == e.Path && !e.Sparse; whole {
				r.keep = (e.Path == "etc/passwd" || e.Path == "etc/group") && e.Size <= maxListedContent
				if r.keep || objectOf(r.store, e.Path) != "" {
					r.content = sha256.New()
				}
			}
		}
		return i, true
	}
	return 0, false
}

const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
)

// entry converts a header. It returns false for a header that has no effect.
func (r *listingReader) entry(h *tar.Header) (e listedEntry, ok bool, err error) {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return e, false, nil
	}
	if e.Path, err = cleanName(h.Name); err != nil {
		return e, false, err
	}
	dir, name := path.Split(e.Path)
	dir = strings.TrimSuffix(dir, "/")
	switch {
	case name == opaqueName:
		return listedEntry{Kind: entryOpaque, Path: dir}, true, nil
	case strings.HasPrefix(name, whiteoutPrefix+whiteoutPrefix):
		return e, false, nil // private to aufs
	case strings.HasPrefix(name, whiteoutPrefix):
		hidden := strings.TrimPrefix(name, whiteoutPrefix)
		if err := rootfs.CheckName(hidden); err != nil {
			return e, false, err
		}
		return listedEntry{Kind: entryHide, Path: path.Join(dir, hidden)}, true, nil
	}
	e.Kind, e.UID, e.GID = entryPut, h.Uid, h.Gid
	e.Mode = rootfs.FileMode(uint32(h.Mode))
	switch h.Typeflag {
	case tar.TypeDir:
		e.Mode = e.Mode&^fs.ModeSetuid | fs.ModeDir
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		e.Size, e.Source = h.Size, e.Path
		e.Sparse = isSparse(h)
		err = r.sparse.add(h)
	case tar.TypeSymlink:
		e.Mode, e.Target = fs.ModeSymlink|0o777, h.Linkname
		err = rootfs.CheckTarget(h.Linkname)
	case tar.TypeLink:
		var target string
		if target, err = cleanName(h.Linkname); err != nil {
			return e, false, err
		}
		if i, ok := r.at[target]; ok {
			linked := r.listing.Entries[i]
			linked.Path, linked.Linked = e.Path, target
			if linked.Sparse {
				err = r.sparse.addSize(linked.Size)
			}
			return linked, true, err
		}
		e.Kind, e.Target = entryLink, target
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		e.Kind = entryOther
	default:
		err = fmt.Errorf("is of the unknown type %q", h.Typeflag)
	}
	return e, true, err
}

// entry returns the entry for a tree, without its content.
func (e listedEntry) entry() rootfs.Entry {
	return rootfs.Entry{Path: e.Path, Mode: e.Mode, UID: e.UID, GID: e.GID, Size: e.Size, Target: e.Target}
}
