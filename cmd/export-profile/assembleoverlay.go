package main

import (
	"context"
	"errors"
	"io"

	"github.com/export-profile/export-profile/profile/decompress"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/overlay"
)

// apply lays the changes of the flags on top of the parts. The caller closes the result after writing it.
func (a *assembly) apply(ctx context.Context, t terminal, say *speaker, parts []rootfs.Part, view *rootfs.View, o overlay.Options) (*overlay.Overlay, error) {
	if t.in != nil {
		o.Stdin = t.in
	}
	o.SpoolDir = a.spoolDir()
	o.Decompress = decompressBy
	top, err := overlay.Apply(ctx, parts, view, o)
	if errors.Is(err, overlay.ErrStoreObject) {
		return nil, withHint(err, "use another place, or --allow-store-changes if it has to be there")
	}
	if err != nil {
		return nil, err
	}
	for _, note := range top.Notes {
		say.notef("%s", note)
	}
	return top, nil
}

// decompressBy returns a reader that decompresses r, or nil if head, which r starts with, is not compressed.
func decompressBy(head []byte, r io.Reader) (io.ReadCloser, error) {
	name := decompress.Sniff(head)
	if name == "" {
		return nil, nil
	}
	return decompress.NewReader(name, r)
}
