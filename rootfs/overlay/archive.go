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

// archive is a tar while it is read.
type archive struct {
	ctx    context.Context
	in     io.ReaderAt
	items  map[string]*item
	xattrs bool
}

// readTar reads a tar of that size.
func (s *source) readTar(ctx context.Context, in io.ReaderAt, size int64) error {
	a := &archive{ctx: ctx, in: in, items: make(map[string]*item)}
	at := &position{r: io.NewSectionReader(in, 0, size)}
	r := tar.NewReader(at)
	end := int64(0) // of the last entry
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
		// Directories and links have no content, whatever size they say.
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
	s.xattrs = a.xattrs
	return nil
}

// clean is a name of the archive as a path, which is empty for its root.
func clean(name string) (string, error) {
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
		if err := rootfs.CheckName(elem); err != nil { // also of ".."
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
				return fmt.Errorf("a global header that sets %q", key)
			}
		}
		return nil
	case 'V': // the label of GNU tar
		return nil
	case tar.TypeGNUSparse:
		return errSparse
	}
	path, err := clean(h.Name)
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
		target, err := clean(h.Linkname)
		if err != nil {
			return fmt.Errorf("hard link to %.255q: %w", h.Linkname, err)
		}
		to := a.items[target]
		if to == nil || to.IsDir() {
			return fmt.Errorf("hard link to %.255q, which is no file that comes before it", h.Linkname)
		}
		i = *to // its path is set by whoever lists the items
	case tar.TypeReg, tar.TypeCont:
		size := h.Size
		i, err = newItem(a.ctx, rootfs.File(path, modeOf(h.Mode&0o100 != 0), size, func() (io.ReadCloser, error) {
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

// insert puts an item and the directories above it, which a tar need not have.
func (a *archive) insert(path string, i *item) error {
	if path == "" {
		if !i.IsDir() {
			return errors.New("is not a directory where the archive's root is")
		}
		return nil
	}
	if had := a.items[path]; had != nil && !(had.IsDir() && i.IsDir()) {
		return errors.New("is in it twice")
	}
	a.items[path] = i
	for {
		if path, _ = cut(path); path == "" || a.items[path] != nil {
			break
		}
		a.items[path] = &item{Entry: rootfs.Dir(path, 0o755)}
		if len(a.items) > maxItems {
			return fmt.Errorf("more than %d files and directories", maxItems)
		}
	}
	return nil
}

// position counts what was read of a tar, and lets archive/tar pass contents without reading them.
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
