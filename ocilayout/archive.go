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

// ArchiveResult is what was written.
type ArchiveResult struct {
	Size  int64
	Notes []string // what some loaders will not read or name as asked, a line each
}

// WriteArchive writes an image that AddImage has built as one tar for all loaders: an image layout that has Docker's manifest.json, too.
// Its name, or names, are those by which loaders will call it; see archiveNames.
// It may be called again, which gives the same bytes.
//
// The small files that say what is in the archive come first: who reads a stream, or looks for them
// from the beginning for each of its questions, as those do that read no more than manifest.json, has them at once.
// Then the manifest and the config, and the layers from the lowest up, so that a reader can unpack each as it comes.
// Loaders that were tried take any order.
// Blobs have the paths that they have in a layout: all that read manifest.json follow its paths.
//
// To a file, blobs are copied by the kernel.
func (l *Layout) WriteArchive(ctx context.Context, w io.Writer, image ispec.Descriptor, names []Name) (ArchiveResult, error) {
	a := archiveWriter{ctx: ctx, w: w}
	err := l.writeArchive(&a, image, names)
	if err != nil {
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

// writeIndexArchive writes an index of images, which only an image layout can have.
// The index comes first, then the images' manifests, and then config and layers of one after the other.
func (l *Layout) writeIndexArchive(a *archiveWriter, image ispec.Descriptor, names []Name) error {
	var joined ispec.Index
	r := &reach{engine: l.engine}
	if err := r.read(a.ctx, image, &joined); err != nil {
		return err
	}
	if joined.MediaType != ispec.MediaTypeImageIndex {
		return fmt.Errorf("%s is not an image manifest, nor an index of those", image.Digest)
	}
	index, _, notes, err := archiveNames(image, names, true)
	if err != nil {
		return err
	}
	a.notes = notes
	all, rest := []ispec.Descriptor{image}, []ispec.Descriptor(nil)
	for _, d := range joined.Manifests { // none is an index, see AddIndex
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

// archiveTop writes what says that the archive is a layout, as in a layout, byte for byte.
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

// archiveBlobs writes blobs, each once, and the archive's end.
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

// blobName is the path of a blob in an archive.
func blobName(d digest.Digest) string { return blobs + "/" + d.Encoded() }

// dockerManifest is manifest.json, as docker save writes it: for an image without a name, RepoTags is null.
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

// archiveWriter writes a tar of files to be read by everybody.
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

// dir writes a directory. Without it, skopeo unpacks an archive only as root:
// it gives root the directories that it has to make up.
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

// copyChunk is how much is copied before a cancelled context is noticed where the kernel copies.
const copyChunk = 64 << 20

// file writes the rest of a file, which must have a size.
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
			m, err = io.Copy(a.w, &io.LimitedReader{R: f, N: part}) // copy_file_range, as both are files
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
