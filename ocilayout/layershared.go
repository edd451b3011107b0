package ocilayout

import (
	"context"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/compress"
)

// SharedBlob is a layer's blob in a cache of several machines.
type SharedBlob struct {
	BlobSource // without an entry of a history
	TarSize    int64

	checked []byte // as in a tarRecord
}

// NewSharedBlob is the blob of a record that is believed. Its place is for the caller to say, with Open and Repository.
func NewSharedBlob(r Record) *SharedBlob {
	var checked []byte
	for i, p := range r.Parts {
		checked = setBit(checked, i, p.Checked)
	}
	return &SharedBlob{checked: checked, TarSize: r.TarSize, BlobSource: BlobSource{
		Descriptor: ispec.Descriptor{MediaType: r.MediaType, Digest: r.Blob, Size: r.Size},
		DiffID:     r.DiffID,
		Of:         "the shared cache",
		Evictable:  true,
	}}
}

// addShared takes a layer from a cache of several machines, and keeps what it fetches in this machine's own.
// Where the image is delivered nothing is fetched unless who gets it has not got it.
func (a *layerAdder) addShared(ctx context.Context, layer Layer) (layerBlob, error) {
	k := &layer.Shared.BlobSource
	b, err := a.addBlob(ctx, k)
	if err != nil {
		return b, err
	}
	b.tar, b.checked = layer.Shared.TarSize, layer.Shared.checked
	if a.options.Deliver == nil && a.options.Cache != nil {
		if key, err := layerKey(layer); err == nil {
			a.keep(ctx, layer, key, b.tar, b)
		}
	}
	if err := a.deliver(ctx, b.Descriptor, k); err != nil {
		return b, err
	}
	if a.options.Progress != nil {
		a.options.Progress(layer.Size())
	}
	return b, nil
}

// record tells of a layer.
func (a *layerAdder) record(ctx context.Context, layer Layer, b layerBlob) {
	if a.options.Record == nil || layer.Reuse != nil {
		return
	}
	r, err := newRecord(layer, a.compression, compress.Version())
	if err != nil {
		a.explain(layer, err)
		return
	}
	r.DiffID, r.TarSize, r.Blob, r.Size = b.diffID, b.tar, b.Digest, b.Size
	a.options.Record(ctx, r, Blob{Descriptor: b.Descriptor, path: a.engine.path(b.Digest), file: a.blobFiles.get(b.Digest)})
}
