package ocilayout

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/rootfs"
)

// ArchiveFile is a tar that holds an image layout, or the output of docker save, or both, written by any program.
// Opening it reads the tar once and remembers only names and offsets. Files are read in place.
//
// Names may begin with ./ and directories may have entries, as tar writes them.
// Odd lists anything else: names that are absolute or lead out of the archive, and names that occur twice.
// Odd entries are ignored, so the first of two files with one name counts. Find refuses two indexes.
type ArchiveFile struct {
	Odd []OddEntry // the first maxOdd of them

	r          io.ReaderAt
	files      map[string]archiveEntry
	indexTwice bool // programs that unpack the archive see the last index
	name       string
}

// OddEntry is an entry that an archive should not have.
type OddEntry struct{ Name, What string }

type archiveEntry struct {
	at, size int64
	link     string // target of a symbolic link, relative to the archive's root
	odd      string // why the entry cannot be read
}

// Limits of what an archive may make us remember.
const (
	maxArchiveNames = 64 << 20 // bytes of names, plus 64 for each
	maxOdd          = 100
)

// OpenArchiveFile reads the headers of an uncompressed archive of size bytes. Errors call it name.
// It fails if the file is no tar or is cut.
func OpenArchiveFile(ctx context.Context, name string, r io.ReaderAt, size int64) (*ArchiveFile, error) {
	a := &ArchiveFile{r: r, files: make(map[string]archiveEntry), name: name}
	if err := a.scan(ctx, size); err != nil {
		return nil, fmt.Errorf("read archive %q: %w", name, err)
	}
	return a, nil
}

// Name returns what errors call the archive.
func (a *ArchiveFile) Name() string { return a.name }

func (a *ArchiveFile) scan(ctx context.Context, size int64) error {
	s := io.NewSectionReader(a.r, 0, size)
	t := tar.NewReader(s)
	names := int64(0)
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if names += int64(len(h.Name)+len(h.Linkname)) + 64; names > maxArchiveNames {
			return fmt.Errorf("its names have more than %d bytes", maxArchiveNames)
		}
		at, err := s.Seek(0, io.SeekCurrent) // the tar reader has read the headers and no more
		if err != nil {
			return err
		}
		a.add(h, at)
	}
}

func (a *ArchiveFile) add(h *tar.Header, at int64) {
	name, err := archiveName(h.Name)
	e := archiveEntry{at: at, size: h.Size}
	switch {
	case err != nil:
		a.odd(h.Name, err.Error())
		return
	case name == "" || h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeXGlobalHeader:
		return
	case isSparse(h):
		e.odd = "is a sparse file"
	case h.Typeflag == tar.TypeReg:
	case h.Typeflag == tar.TypeSymlink:
		// Docker and skopeo write such links for layers that occur twice.
		if e.link, err = archiveName(path.Join(path.Dir(name), h.Linkname)); err != nil || strings.HasPrefix(h.Linkname, "/") {
			e.link, e.odd = "", fmt.Sprintf("is a link to %.255q, which is not in the archive", h.Linkname)
		}
	default:
		e.odd = "is not a regular file"
	}
	if _, ok := a.files[name]; ok {
		a.odd(h.Name, "occurs twice")
		a.indexTwice = a.indexTwice || name == ispec.ImageIndexFile
		return
	}
	a.files[name] = e
}

func (a *ArchiveFile) odd(name, what string) {
	if len(a.Odd) < maxOdd {
		a.Odd = append(a.Odd, OddEntry{name, what})
	}
}

// archiveName cleans a name of an archive. It returns "" for the root.
func archiveName(name string) (string, error) {
	if strings.HasPrefix(name, "/") {
		return "", errors.New("is an absolute path")
	}
	var elements []string
	for element := range strings.SplitSeq(name, "/") {
		if element == "" || element == "." {
			continue
		}
		if err := rootfs.CheckName(element); err != nil { // also refuses ".."
			return "", err
		}
		elements = append(elements, element)
	}
	if len(elements) > rootfs.MaxDepth {
		return "", errors.New("is too deep")
	}
	return strings.Join(elements, "/"), nil
}

// ErrIrregular means that an archive entry cannot be read as a file.
var ErrIrregular = errors.New("not a regular file")

// File returns a new reader of a file in the archive. Several goroutines may call it.
// If links is set, it follows a symbolic link to a file. The error is fs.ErrNotExist if there is no such file.
func (a *ArchiveFile) File(name string, links bool) (*io.SectionReader, error) {
	clean, err := archiveName(name)
	if err != nil {
		return nil, fmt.Errorf("%.255q: %w: %w", name, fs.ErrNotExist, err)
	}
	e, ok := a.files[clean]
	if ok && links && e.link != "" {
		clean = e.link
		e, ok = a.files[clean]
	}
	switch {
	case !ok:
		return nil, fmt.Errorf("%.255q: %w", name, fs.ErrNotExist)
	case e.odd != "":
		return nil, fmt.Errorf("%.255q: %w: %s", name, ErrIrregular, e.odd)
	case e.link != "":
		return nil, fmt.Errorf("%.255q: %w: is a link", name, ErrIrregular)
	}
	return io.NewSectionReader(a.r, e.at, e.size), nil
}

// OpenBlob opens a blob of the layout in the archive.
func (a *ArchiveFile) OpenBlob(_ context.Context, d ispec.Descriptor) (io.ReadCloser, error) {
	if err := d.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("digest %q: %w", d.Digest, err)
	}
	f, err := a.File(ispec.ImageBlobsDir+"/"+d.Digest.Algorithm().String()+"/"+d.Digest.Encoded(), false)
	if err != nil {
		return nil, err
	}
	return nopCloser{f}, nil
}

// nopCloser closes nothing, and can seek.
type nopCloser struct{ *io.SectionReader }

func (nopCloser) Close() error { return nil }

// Find finds an image in the layout in the archive, as FindImage does in a directory.
// The error is ErrNoLayout if the archive has only Docker's manifest.json.
func (a *ArchiveFile) Find(tag string) (*ImageSource, error) {
	s, err := a.find(tag)
	if err != nil {
		return nil, fmt.Errorf("find %s in archive %q: %w", called(tag), a.name, err)
	}
	return s, nil
}

// ErrNoLayout means that an archive has no image layout.
var ErrNoLayout = errors.New("it has no image layout in it")

func (a *ArchiveFile) find(tag string) (*ImageSource, error) {
	f, err := a.File(ispec.ImageIndexFile, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoLayout
	}
	if err != nil {
		return nil, err
	}
	if a.indexTwice {
		return nil, fmt.Errorf("%q occurs twice", ispec.ImageIndexFile)
	}
	if f.Size() > MaxDocument {
		return nil, fmt.Errorf("%s is too large: %d bytes", ispec.ImageIndexFile, f.Size())
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	var index ispec.Index
	if err := json.Unmarshal(b, &index); err != nil {
		return nil, fmt.Errorf("parse %s: %w", ispec.ImageIndexFile, err)
	}
	return sourceIn(index, tag, &ImageSource{Name: namedIn(a.name, tag), Open: a.OpenBlob})
}
