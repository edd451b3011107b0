package ocilayout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ArchiveResult describes an archive that was written.
type ArchiveResult struct {
	Size  int64
	Notes []string // one line for each thing that some loaders will not read, or name differently
}

// WriteArchive writes an image that AddImage has built as one tar for all loaders: an image layout with Docker's manifest.json added.
// Loaders give the image the given names; see archiveNames.
// Calling it again writes the same bytes.
//
// The small files that list the contents come first. A reader of a stream has them at once,
// and so has one that searches from the beginning for each file, as readers of manifest.json do.
// The manifest and the config follow, and then the layers from the lowest up, so that a reader can unpack each as it arrives.
// All loaders that we tried accept any order.
// Blobs keep the paths that they have in a layout: readers of manifest.json use the paths that it names.
//
// If w is a file, the kernel copies the blobs.
func (l *Layout) WriteArchive(ctx context.Context, w io.Writer, image ispec.Descriptor, names []Name) (ArchiveResult, error) {
	a := archiveWriter{ctx: ctx, w: w}
	err := l.writeArchive(&a, image, names)
	if err != nil {
		l.explain(&err)
		err = fmt.Errorf("write archive: %w", err)
	}
	return ArchiveResult{a.size, a.notes}, err
}

func (l *Layout) writeArchive(a *archiveWriter, image ispec.Descriptor, names []Name) error {
	if l.publishing || l.staging == nil {
		return errors.New("already published or closed")
	}
	if image.MediaType == ispec.MediaTypeImageIndex {
		return l.writeIndexArchive(a, image, names)
	}
	if image.MediaType != ispec.MediaTypeImageManifest {
		return fmt.Errorf("%s is not an image manifest: %q", image.Digest, image.MediaType)
	}
	var manifest ispec.Manifest
	if err := (&reach{engine: l.engine}).read(a.ctx, image, &manifest); err != nil {
		return err
	}
	index, tags, notes, err := archiveNames(image, names, false)
	if err != nil {
		return err
	}
	a.notes = append(notes, compressionNotes(&manifest)...)

	if err := l.archiveTop(a, index); err != nil {
		return err
	}
	b, err := dockerManifest(&manifest, tags)
	if err == nil {
		err = a.bytes("manifest.json", b)
	}
	if err != nil {
		return err
	}
	return l.archiveBlobs(a, append([]ispec.Descriptor{image, manifest.Config}, manifest.Layers...))
}

// writeIndexArchive writes an index of images. Docker's manifest.json cannot express one, so the archive is an image layout alone.
// The index comes first, then the manifests, and then the config and layers of each image in turn.
func (l *Layout) writeIndexArchive(a *archiveWriter, image ispec.Descriptor, names []Name) error {
	var inner ispec.Index
	r := &reach{engine: l.engine}
	if err := r.read(a.ctx, image, &inner); err != nil {
		return err
	}
	if inner.MediaType != ispec.MediaTypeImageIndex {
		return fmt.Errorf("%s is not an image manifest, nor an index of those", image.Digest)
	}
	index, _, notes, err := archiveNames(image, names, true)
	if err != nil {
		return err
	}
	a.notes = notes
	all, rest := []ispec.Descriptor{image}, []ispec.Descriptor(nil)
	for _, d := range inner.Manifests { // none is an index: AddIndex flattens them
		var manifest ispec.Manifest
		if err := r.read(a.ctx, d, &manifest); err != nil {
			return err
		}
		all = append(all, d)
		rest = append(append(rest, manifest.Config), manifest.Layers...)
	}
	if err := l.archiveTop(a, index); err != nil {
		return err
	}
	return l.archiveBlobs(a, append(all, rest...))
}

// archiveTop writes the files at the top of a layout: the same bytes as in a layout directory.
func (l *Layout) archiveTop(a *archiveWriter, index []ispec.Descriptor) error {
	if err := l.engine.PutIndex(a.ctx, ispec.Index{Manifests: index}); err != nil {
		return err
	}
	for _, name := range []string{ispec.ImageLayoutFile, ispec.ImageIndexFile} {
		b, err := os.ReadFile(filepath.Join(l.engine.dir, name))
		if err == nil {
			err = a.bytes(name, b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// archiveBlobs writes each blob once, and then the end of the archive.
func (l *Layout) archiveBlobs(a *archiveWriter, all []ispec.Descriptor) error {
	for _, name := range []string{ispec.ImageBlobsDir, blobs} {
		if err := a.dir(name); err != nil {
			return err
		}
	}
	written := make(map[digest.Digest]bool)
	for _, d := range all {
		if written[d.Digest] {
			continue
		}
		written[d.Digest] = true
		if err := l.archiveBlob(a, d); err != nil {
			return fmt.Errorf("blob %s: %w", d.Digest, err)
		}
	}
	return a.write(zeroBlocks[:])
}

func (l *Layout) archiveBlob(a *archiveWriter, d ispec.Descriptor) error {
	f := l.blobFiles.get(d.Digest)
	if f == nil {
		var err error
		if f, err = os.Open(l.engine.path(d.Digest)); err != nil {
			return err
		}
		defer f.Close()
	} else if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return a.file(blobName(d.Digest), f, d.Size)
}

// blobName returns the path of a blob in an archive.
func blobName(d digest.Digest) string { return blobs + "/" + d.Encoded() }

// dockerManifest returns a manifest.json as docker save writes it: RepoTags is null for an image without a name.
func dockerManifest(m *ispec.Manifest, tags []string) ([]byte, error) {
	type image struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	i := image{blobName(m.Config.Digest), tags, []string{}}
	for _, layer := range m.Layers {
		i.Layers = append(i.Layers, blobName(layer.Digest))
	}
	b, err := json.Marshal([]image{i})
	return append(b, '\n'), err
}

func compressionNotes(m *ispec.Manifest) []string {
	zstd := func(d ispec.Descriptor) bool { return d.MediaType == ispec.MediaTypeImageLayerZstd }
	if !slices.ContainsFunc(m.Layers, zstd) {
		return nil
	}
	return []string{"layers are compressed with zstd, which Docker before 23 cannot load"}
}

// archiveWriter writes a tar of files that everyone can read.
type archiveWriter struct {
	ctx   context.Context
	w     io.Writer
	size  int64
	notes []string
}

func (a *archiveWriter) write(b []byte) error {
	n, err := a.w.Write(b)
	a.size += int64(n)
	return err
}

func (a *archiveWriter) header(name string, size int64) error {
	b, err := (&header{name: name, kind: '0', mode: 0o644, size: size}).appendLong(nil)
	if err != nil {
		return err
	}
	return a.write(b)
}

// dir writes a directory. If directories have no entries, skopeo makes them with root as their owner,
// so only root can unpack the archive.
func (a *archiveWriter) dir(name string) error {
	b, err := (&header{name: name + "/", kind: '5', mode: 0o755}).appendLong(nil)
	if err != nil {
		return err
	}
	return a.write(b)
}

func (a *archiveWriter) pad(size int64) error {
	return a.write(zeroBlocks[:-size&(blockSize-1)])
}

func (a *archiveWriter) bytes(name string, b []byte) error {
	err := a.header(name, int64(len(b)))
	if err == nil {
		err = a.write(b)
	}
	if err == nil {
		err = a.pad(int64(len(b)))
	}
	return err
}

// copyChunk bounds how much the kernel copies before a cancelled context is noticed.
const copyChunk = 64 << 20

// file writes the rest of f, which must be size bytes long.
func (a *archiveWriter) file(name string, f *os.File, size int64) error {
	if fi, err := f.Stat(); err != nil {
		return err
	} else if fi.Size() != size {
		return fmt.Errorf("has %d bytes instead of %d", fi.Size(), size)
	}
	if err := a.header(name, size); err != nil {
		return err
	}
	n, err := a.copy(f, size)
	if err == nil && n != size {
		err = fmt.Errorf("has %d bytes instead of %d", n, size)
	}
	if err != nil {
		return err
	}
	return a.pad(size)
}

func (a *archiveWriter) copy(f *os.File, size int64) (n int64, err error) {
	buf, chunk := make([]byte, min(size, tarBuffer)), int64(tarBuffer)
	regular := isRegular(a.w)
	if regular {
		chunk = copyChunk
	}
	for n < size {
		if err := context.Cause(a.ctx); err != nil {
			return n, err
		}
		part := min(chunk, size-n)
		var m int64
		if regular {
			m, err = io.Copy(a.w, &io.LimitedReader{R: f, N: part}) // copy_file_range, since both are files
		} else if _, err = io.ReadFull(f, buf[:part]); err == nil {
			var short int
			short, err = a.w.Write(buf[:part])
			m = int64(short)
		}
		n += m
		a.size += m
		if err != nil || m < part {
			return n, err
		}
	}
	return n, nil
}

func isRegular(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	fi, err := f.Stat()
	return err == nil && fi.Mode().IsRegular()
}
