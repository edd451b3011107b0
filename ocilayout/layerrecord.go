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

// Record says what has become of a layer that was built: which parts became which tar, and what blob a compressor made of it.
// It is what machines can tell each other, so that only one of them builds the layer.
// It is a claim: whoever believes it has to trust who made it.
type Record struct {
	Format     int           `json:"format"` // of the tar
	Parts      []RecordPart  `json:"parts"`  // all that are in the tar, in its order
	Hidden     []string      `json:"hidden,omitempty"`
	Compressor string        `json:"compressor"` // and its version
	MediaType  string        `json:"mediaType"`
	DiffID     digest.Digest `json:"diffID"`
	TarSize    int64         `json:"tarSize"`
	Blob       digest.Digest `json:"blob"`
	Size       int64         `json:"size"` // of the blob
}

// RecordPart is a part as its layer has it; see rootfs.Part.
type RecordPart struct {
	Name string `json:"name"`
	Root string `json:"root"`
	Key  string `json:"key"`
	Size int64  `json:"size"`
	// Checked says that all contents were hashed when the layer was made;
	// of what is wanted, that they must have been.
	Hashed bool `json:"checked,omitempty"`
}

// NewRecord is what is known of a layer before it is built: no diffID and no blob.
// It is an error if nothing promises the content of a part, or the compressor is not known.
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
	r = Record{Format: tarFormat, MediaType: m.MediaType(), Hidden: slices.Clone(l.Hidden)}
	if r.Compressor, err = m.Identity(version); err != nil {
		return r, err
	}
	for _, p := range l.Parts {
		r.Parts = append(r.Parts, RecordPart{p.Name, p.Root, p.Key, p.Size, p.Unproven})
	}
	return r, nil
}

// Key is a name for what is built, and for how: layers with the same key become the same blob.
func (r Record) Key() string {
	return strings.TrimPrefix(string(digest.FromString(fmt.Sprintf("%q %d %q %q %q", r.content(), r.Format, r.Hidden, r.Compressor, r.MediaType))), "sha256:")
}

// content is all of the parts that makes a difference to the tar.
func (r Record) content() []string {
	var words []string
	for _, p := range r.Parts {
		words = append(words, p.Root, p.Key)
	}
	return words
}

// check refuses what is no record of a blob.
func (r Record) check() error {
	if err := errors.Join(checkDigest(r.DiffID), checkDigest(r.Blob)); err != nil {
		return err
	}
	if r.Size < 0 || r.TarSize <= 0 {
		return fmt.Errorf("a blob of %d bytes of a tar of %d bytes", r.Size, r.TarSize)
	}
	return nil
}

// Answers says why a record is not an answer to what is wanted.
func (r Record) Answers(wanted Record) error {
	if r.Format != wanted.Format || r.Compressor != wanted.Compressor || r.MediaType != wanted.MediaType ||
		!slices.Equal(r.content(), wanted.content()) || !slices.Equal(r.Hidden, wanted.Hidden) {
		return errors.New("it is of another layer")
	}
	for i, p := range wanted.Parts {
		if p.Hashed && !r.Parts[i].Hashed {
			return unhashedError(p.Name)
		}
	}
	return r.check()
}

// Vouches says why a record does not prove that a kept layer is what its image's history says.
// Of what is wanted, by the parts' names, it must have the whole keys, of which a history has a few digits.
func (r Record) Vouches(k *BlobSource, wanted map[string]string) error {
	if r.Blob != k.Descriptor.Digest || r.Size != k.Descriptor.Size || r.MediaType != k.Descriptor.MediaType {
		return errors.New("it is of another blob")
	}
	if r.DiffID != k.DiffID {
		return fmt.Errorf("its diffID is %s, and the image says %s", r.DiffID, k.DiffID)
	}
	if err := r.check(); err != nil {
		return err
	}
	var parts []rootfs.Part
	for _, p := range r.Parts {
		parts = append(parts, rootfs.Part{Name: p.Name, Key: p.Key, Size: p.Size})
		if key, ok := wanted[p.Name]; ok && key != p.Key && history.Hash(key) == history.Hash(p.Key) {
			return fmt.Errorf("it has another %s", p.Name)
		}
	}
	if said := history.ClaimOf(parts, r.Hidden).String(); said != k.Entry.Comment {
		return errors.New("it has other contents than the image's history says")
	}
	return nil
}

// SharedBlob is a layer's blob in a cache of several machines.
type SharedBlob struct {
	BlobSource // without an entry of a history
	TarSize    int64

	hashed []byte // as in a tarRecord
}

// NewSharedBlob is the blob of a record that is believed. Its place is for the caller to say, with Open and Repository.
func NewSharedBlob(r Record) *SharedBlob {
	var checked []byte
	for i, p := range r.Parts {
		checked = setBit(checked, i, p.Hashed)
	}
	return &SharedBlob{hashed: checked, TarSize: r.TarSize, BlobSource: BlobSource{
		Descriptor: ispec.Descriptor{MediaType: r.MediaType, Digest: r.Blob, Size: r.Size},
		DiffID:     r.DiffID,
		Of:         "the shared cache",
		Evictable:  true,
	}}
}
