package overlay

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// archive collects the entries of a tar.
type archive struct {
	ctx    context.Context
	in     io.ReaderAt
	items  map[string]*item
	bytes  int64 // of the paths in items
	linked bool  // an entry lies below a link of the archive
	xattrs bool
}

// readTar reads a tar of size bytes.
func (s *source) readTar(ctx context.Context, in io.ReaderAt, size int64) error {
	a := &archive{ctx: ctx, in: in, items: make(map[string]*item)}
	at := &position{r: io.NewSectionReader(in, 0, size)}
	r := tar.NewReader(at)
	end := int64(0) // where the last entry ends
	for n := 0; ; n++ {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("read tar at byte %d: %w", at.off, err)
		}
		if n == maxItems {
			return fmt.Errorf("read tar: more than %d entries", maxItems)
		}
		if err := a.add(h, at.off); err != nil {
			return fmt.Errorf("%.255q in the tar: %w", h.Name, err)
		}
		// Directories and links have no content, even if their headers declare a size.
		if end = at.off; h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeCont {
			end = min(end, size) + min(h.Size, size)
		}
	}
	if at.off < end+blockSize {
		return fmt.Errorf("read tar: its end is missing: %w", io.ErrUnexpectedEOF)
	}
	for _, path := range slices.SortedFunc(maps.Keys(a.items), rootfs.ComparePaths) {
		i := *a.items[path]
		i.Path = path
		s.items = append(s.items, i)
	}
	s.xattrs, s.linked = a.xattrs, a.linked
	return nil
}

// cleanName turns a name of the archive into a path, which is empty for the root.
func cleanName(name string) (string, error) {
	var elems []string
	for elem := range strings.SplitSeq(name, "/") {
		switch {
		case elem == "", elem == ".":
			continue
		case strings.HasPrefix(elem, whiteoutPrefix):
			return "", errWhiteoutName
		case len(elems) == rootfs.MaxDepth:
			return "", fmt.Errorf("deeper than %d directories", rootfs.MaxDepth)
		}
		if err := rootfs.CheckName(elem); err != nil { // refuses ".." too
			return "", err
		}
		elems = append(elems, elem)
	}
	return strings.Join(elems, "/"), nil
}

func (a *archive) add(h *tar.Header, offset int64) error {
	for key := range h.PAXRecords {
		switch {
		case strings.HasPrefix(key, "GNU.sparse."):
			return errSparse
		case strings.HasPrefix(key, "SCHILY.xattr.") && h.Typeflag != tar.TypeXGlobalHeader:
			a.xattrs = true
		}
	}
	var i item
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		for _, key := range []string{"path", "linkpath", "size"} {
			if _, ok := h.PAXRecords[key]; ok {
				return fmt.Errorf("its global header sets %q, which is not supported", key)
			}
		}
		return nil
	case 'V': // GNU tar's volume label
		return nil
	case tar.TypeGNUSparse:
		return errSparse
	}
	path, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		i.Entry = rootfs.Dir(path, 0o755)
	case tar.TypeSymlink:
		if err := rootfs.CheckTarget(h.Linkname); err != nil {
			return err
		}
		i.Entry = rootfs.Link(path, h.Linkname)
	case tar.TypeLink:
		target, err := cleanName(h.Linkname)
		if err != nil {
			return fmt.Errorf("hard link to %.255q: %w", h.Linkname, err)
		}
		to := a.items[target]
		if to == nil || to.IsDir() {
			return fmt.Errorf("hard link to %.255q: no file of that name comes before it", h.Linkname)
		}
		i = *to // readTar sets the path
	case tar.TypeReg, tar.TypeCont:
		size := h.Size
		i, err = readItem(a.ctx, rootfs.File(path, hostMode(h.Mode&0o100 != 0), size, func() (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(a.in, offset, size)), nil
		}))
		if err != nil {
			return err
		}
		if i.Size != size {
			return io.ErrUnexpectedEOF
		}
	default:
		return fmt.Errorf("is neither a file, a directory nor a link: type %q", h.Typeflag)
	}
	return a.insert(path, &i)
}

var errSparse = errors.New("is a sparse file, which is not supported: write the tar without --sparse")

// insert adds an item and the directories above it, which a tar may omit.
func (a *archive) insert(path string, i *item) error {
	if path == "" {
		if !i.IsDir() {
			return errors.New("is the archive's root, and not a directory")
		}
		return nil
	}
	if had := a.items[path]; had != nil && !(had.IsDir() && i.IsDir()) {
		return errors.New("occurs twice")
	}
	if err := a.set(path, i); err != nil {
		return err
	}
	for {
		if path, _ = cut(path); path == "" {
			return nil
		}
		if above := a.items[path]; above != nil {
			a.linked = a.linked || above.IsLink()
			return nil
		}
		if err := a.set(path, &item{Entry: rootfs.Dir(path, 0o755)}); err != nil {
			return err
		}
	}
}

func (a *archive) set(path string, i *item) error {
	a.items[path] = i
	if a.bytes += int64(len(path)); a.bytes > maxPathBytes {
		return fmt.Errorf("paths of more than %d bytes", maxPathBytes)
	}
	if len(a.items) > maxItems {
		return fmt.Errorf("more than %d files and directories", maxItems)
	}
	return nil
}

// position tracks the offset in a tar. Its Seek lets archive/tar skip contents without reading them.
type position struct {
	r   *io.SectionReader
	off int64
}

func (p *position) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.off += int64(n)
	return n, err
}

func (p *position) Seek(offset int64, whence int) (int64, error) {
	at, err := p.r.Seek(offset, whence)
	if err == nil {
		p.off = at
	}
	return at, err
}
