package ocilayout

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/chunked"
)

// checkTables refuses what cannot be the annotations of a blob of size bytes:
// those of a zstd:chunked blob locate its tables, if it has any, and other blobs have none.
func checkTables(annotations map[string]string, size int64, allowed bool) error {
	tables, err := chunked.ParseAnnotations(annotations, size)
	switch {
	case err != nil:
		return err
	case !maps.Equal(annotations, tables.Annotations()):
		return errors.New("it has annotations that do not belong to zstd:chunked")
	case !allowed && len(annotations) > 0:
		return errors.New("it has tables of zstd:chunked, and its blob is of another kind")
	}
	return nil
}

// sameAnnotations returns an error that names the first annotation of a blob that differs from its record.
func sameAnnotations(said, recorded map[string]string) error {
	if maps.Equal(said, recorded) {
		return nil
	}
	keys := slices.Concat(slices.Collect(maps.Keys(said)), slices.Collect(maps.Keys(recorded)))
	slices.Sort(keys)
	for _, key := range keys {
		a, inSaid := said[key]
		b, inRecorded := recorded[key]
		if inSaid != inRecorded || a != b {
			return fmt.Errorf("annotation %q is %q, and the record says %q", key, a, b)
		}
	}
	return nil
}

// proveTables checks that the tables of a blob are where they should be: its footer names the same places,
// and the TOC has the digest.
func proveTables(blob io.ReaderAt, size int64, tables chunked.Location) error {
	want := tables.Footer()
	if size < int64(len(want)) {
		return errors.New("it is too small for the tables that its record names")
	}
	footer := make([]byte, len(want))
	if _, err := blob.ReadAt(footer, size-int64(len(want))); err != nil {
		return err
	}
	if !bytes.Equal(footer, want) {
		return errors.New("its footer names other places of the tables than its record")
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(blob, tables.TOC.Offset, tables.TOC.Length)); err != nil {
		return err
	}
	if got := digest.NewDigest(digest.SHA256, h); got != tables.Digest {
		return fmt.Errorf("the digest of its TOC is %s, and the record says %s", got, tables.Digest)
	}
	return nil
}

// layerTables returns where the tables of a base image's layer lie. The base image can have other annotations,
// which do not belong to a new image.
func layerTables(mediaType string, d ispec.Descriptor) (chunked.Location, error) {
	if mediaType != ispec.MediaTypeImageLayerZstd {
		return chunked.Location{}, nil
	}
	return chunked.ParseAnnotations(d.Annotations, d.Size)
}
