package ocilayout

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// Record says what a layer became when it was built: the tar of its parts, and the blob that a compressor made of the tar.
// Machines exchange records so that only one of them builds the layer.
// A record is a claim: only use one whose author you trust.
type Record struct {
	Format     int           `json:"format"` // version of the tar format
	Parts      []RecordPart  `json:"parts"`  // all parts in the tar, in its order
	Hidden     []string      `json:"hidden,omitempty"`
	Compressor string        `json:"compressor"` // with its version
	MediaType  string        `json:"mediaType"`
	DiffID     digest.Digest `json:"diffID"`
	TarSize    int64         `json:"tarSize"`
	Blob       digest.Digest `json:"blob"`
	Size       int64         `json:"size"` // of the blob
	// Annotations locate the tables of a zstd:chunked blob. Records of blobs without tables lack them.
	Annotations map[string]string `json:"annotations,omitempty"`

	chunked bool // in a wanted record: the blob may have tables
}

// RecordPart is a part of the layer; see rootfs.Part.
type RecordPart struct {
	Name string `json:"name"`
	Root string `json:"root"`
	Key  string `json:"key"`
	Size int64  `json:"size"`
	// Hashed says that the contents were hashed when the layer was made.
	// In a wanted record it demands that; see Answers.
	Hashed bool `json:"checked,omitempty"`
}

// NewRecord returns what is known of a layer before it is built: all but diffID and blob.
// It fails if a part has no key, or if the compressor's version is unknown.
func NewRecord(l Layer, m compress.Method) (Record, error) {
	return newRecord(l, m, compress.Version())
}

func newRecord(l Layer, m compress.Method, version string) (r Record, err error) {
	if l.Reuse != nil {
		return r, errors.New("it is a layer of another image")
	}
	if _, err := tarRecordName(l); err != nil {
		return r, err
	}
	r = Record{Format: tarFormat, MediaType: m.MediaType(), Hidden: slices.Clone(l.Hidden), chunked: m.Chunked()}
	if r.Compressor, err = m.Identity(version); err != nil {
		return r, err
	}
	for _, p := range l.Parts {
		r.Parts = append(r.Parts, RecordPart{p.Name, p.Root, p.Key, p.Size, p.Unproven})
	}
	return r, nil
}

// Key identifies the layer and the way to build it: layers with equal keys become the same blob.
func (r Record) Key() string {
	return strings.TrimPrefix(string(digest.FromString(fmt.Sprintf("%q %d %q %q %q", r.content(), r.Format, r.Hidden, r.Compressor, r.MediaType))), "sha256:")
}

// content returns everything about the parts that affects the tar.
func (r Record) content() []string {
	var words []string
	for _, p := range r.Parts {
		words = append(words, p.Root, p.Key)
	}
	return words
}

// check refuses a record that describes no blob.
func (r Record) check() error {
	if err := errors.Join(CheckDigest(r.DiffID), CheckDigest(r.Blob)); err != nil {
		return err
	}
	if r.Size < 0 || r.Size > maxBlob || r.TarSize <= 0 || r.TarSize > maxBlob {
		return fmt.Errorf("a blob of %d bytes of a tar of %d bytes", r.Size, r.TarSize)
	}
	return nil
}

// Answers returns an error if the record does not answer the wanted one.
func (r Record) Answers(wanted Record) error {
	if r.Format != wanted.Format || r.Compressor != wanted.Compressor || r.MediaType != wanted.MediaType ||
		!slices.Equal(r.content(), wanted.content()) || !slices.Equal(r.Hidden, wanted.Hidden) {
		return errors.New("it is about another layer")
	}
	for i, p := range wanted.Parts {
		if p.Hashed && !r.Parts[i].Hashed {
			return unhashedError(p.Name)
		}
	}
	if err := r.check(); err != nil {
		return err
	}
	return checkTables(r.Annotations, r.Size, wanted.chunked)
}

// Vouches returns an error if the record does not prove what the history of an image says about a layer.
// Wanted maps the names of parts to their keys. For these parts the record must have the whole key; a history has only its first digits.
func (r Record) Vouches(layer *BlobSource, wanted map[string]string) error {
	if r.Blob != layer.Descriptor.Digest || r.Size != layer.Descriptor.Size || r.MediaType != layer.Descriptor.MediaType {
		return errors.New("it is about another blob")
	}
	if r.DiffID != layer.DiffID {
		return fmt.Errorf("its diffID is %s, and the image says %s", r.DiffID, layer.DiffID)
	}
	if err := r.check(); err != nil {
		return err
	}
	if err := sameAnnotations(layer.Descriptor.Annotations, r.Annotations); err != nil {
		return err
	}
	var store rootfs.StoreDir
	changed := make(map[string]bool) // a record does not say so, but the key of a changed part is another one
	if said, err := history.Parse(layer.Entry); err == nil {
		store = said.StoreDir
		for _, o := range said.Objects {
			changed[o.Name] = o.Changed
		}
	}
	var parts []rootfs.Part
	for _, p := range r.Parts {
		parts = append(parts, rootfs.Part{Name: p.Name, Key: p.Key, Size: p.Size, Changed: changed[p.Name]})
		if p.Root != "" && p.Root != store.Object(p.Name) {
			return fmt.Errorf("its %s is not in the image's store directory", p.Name)
		}
		if key, ok := wanted[p.Name]; ok && key != p.Key && history.Hash(key) == history.Hash(p.Key) {
			return fmt.Errorf("its %s has another hash", p.Name)
		}
	}
	if said := history.ClaimOf(store, parts, r.Hidden).String(); said != layer.Entry.Comment {
		return errors.New("it has other contents than the image's history says")
	}
	return nil
}

// SharedBlob is the blob of a layer in the shared cache.
type SharedBlob struct {
	BlobSource // without a history entry
	TarSize    int64

	hashed []byte // one bit per part, as in a tarRecord
}

// NewSharedBlob returns the blob of a trusted record. The caller must set Open and Repository.
func NewSharedBlob(r Record) *SharedBlob {
	var hashed []byte
	for i, p := range r.Parts {
		hashed = setBit(hashed, i, p.Hashed)
	}
	return &SharedBlob{hashed: hashed, TarSize: r.TarSize, BlobSource: BlobSource{
		Descriptor: ispec.Descriptor{MediaType: r.MediaType, Digest: r.Blob, Size: r.Size, Annotations: r.Annotations},
		DiffID:     r.DiffID,
		Origin:     "the shared cache",
		Evictable:  true,
	}}
}
