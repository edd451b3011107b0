package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/chunked"
	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// layer is a layer of a release.
type layer struct {
	claim  history.Claim // what it holds, even if the image does not show it
	id     string        // equal if and only if the tars are equal
	blob   blob
	parts  []rootfs.Part
	hidden []string
}

func newLayer(parts []rootfs.Part, hidden []string) layer {
	l := layer{claim: history.ClaimOf(rootfs.StoreDir{}, parts, hidden), parts: parts, hidden: hidden}
	h := sha256.New()
	for _, p := range sortedParts(parts) {
		fmt.Fprintf(h, "%s %s\n", p.Name, p.Key)
	}
	fmt.Fprint(h, strings.Join(hidden, " "))
	l.id = fmt.Sprintf("%x", h.Sum(nil)[:16])
	return l
}

// size returns the bytes of the layer's objects.
func (l layer) size() (n int64) {
	for _, o := range l.claim.Objects {
		n += o.Size
	}
	return n
}

// blob is what a layer was compressed to.
type blob struct {
	Size   int64            `json:"size"`
	Tables chunked.Location `json:"tables"` // zero if it has none
}

// builder builds each layer once, with the code of the product, and remembers its size in a directory.
type builder struct {
	dir       string
	method    compress.Method
	known     map[string]blob
	composer  *composer
	skeletons map[string]*skeleton // by the key of the part
	// Since the start:
	built, composed int
}

func newBuilder(dir string) (*builder, error) {
	method, err := compress.Parse("zstd:chunked")
	if err != nil {
		return nil, err
	}
	c, err := newComposer()
	if err != nil {
		return nil, err
	}
	b := &builder{
		dir:    filepath.Join(dir, fmt.Sprintf("blobs-%d", ocilayout.FormatVersion)),
		method: method, known: make(map[string]blob), composer: c, skeletons: make(map[string]*skeleton),
	}
	return b, os.MkdirAll(b.dir, 0o755)
}

func (b *builder) file(id, suffix string) string { return filepath.Join(b.dir, id[:2], id[2:]+suffix) }

// build sets the blob of a layer.
func (b *builder) build(ctx context.Context, l *layer) error {
	var ok bool
	if l.blob, ok = b.known[l.id]; ok {
		return nil
	}
	text, err := os.ReadFile(b.file(l.id, ".json"))
	if err == nil {
		err = json.Unmarshal(text, &l.blob)
	} else if errors.Is(err, os.ErrNotExist) {
		err = b.make(ctx, l)
	}
	b.known[l.id] = l.blob
	return err
}

// make builds or composes a layer, and keeps its TOC. Of a single object it also keeps the tar-split data, for composing.
func (b *builder) make(ctx context.Context, l *layer) (err error) {
	var toc, split []byte
	if l.composable() {
		b.composed++
		toc, err = b.compose(ctx, l)
	} else {
		b.built++
		toc, split, err = b.construct(ctx, l)
	}
	if err != nil {
		return err
	}
	text, err := json.Marshal(l.blob)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(b.file(l.id, "")), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(b.file(l.id, ".toc"), toc, 0o644); err != nil {
		return err
	}
	if len(l.parts) == 1 {
		if err := os.WriteFile(b.file(l.id, ".split"), split, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(b.file(l.id, ".json"), text, 0o644)
}

// construct sets the blob of a layer to what the product makes, and returns its tables, compressed.
func (b *builder) construct(ctx context.Context, l *layer) (toc, split []byte, err error) {
	layout, err := ocilayout.OpenStaged(filepath.Join(b.dir, "staging"), ocilayout.Options{
		Deliver: func(ctx context.Context, d ocilayout.Blob) (err error) {
			if d.MediaType != b.method.MediaType() {
				return nil
			}
			l.blob.Size = d.Size
			at, err := chunked.ParseAnnotations(d.Annotations, d.Size)
			if err != nil || at == (chunked.Location{}) {
				return err
			}
			r, err := d.Open(ctx)
			if err != nil {
				return err
			}
			defer r.Close()
			l.blob.Tables = at
			toc, split = make([]byte, at.TOC.Length), make([]byte, at.TarSplit.Length)
			if _, err := io.CopyN(io.Discard, r, at.TOC.Offset); err != nil {
				return err
			}
			if _, err := io.ReadFull(r, toc); err != nil {
				return err
			}
			if _, err := io.CopyN(io.Discard, r, skippable); err != nil {
				return err
			}
			_, err = io.ReadFull(r, split)
			return err
		},
	})
	if err != nil {
		return nil, nil, err
	}
	_, err = layout.AddImage(ctx, ocilayout.ImageSpec{
		Layers:      []ocilayout.Layer{{Parts: l.parts, Hidden: l.hidden}},
		Platform:    ispec.Platform{OS: "linux", Architecture: "amd64"},
		Compression: b.method,
	})
	return toc, split, errors.Join(err, layout.Close())
}

// entries calls visit with each entry of a layer's TOC.
func (b *builder) entries(l layer, visit func(*chunked.Entry) error) error {
	f, err := os.Open(b.file(l.id, ".toc"))
	if err != nil {
		return err
	}
	defer f.Close()
	t, err := chunked.NewTOCReader(f, l.blob.Tables)
	if err != nil {
		return err
	}
	defer t.Close()
	for {
		e, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := visit(e); err != nil {
			return err
		}
	}
}

func sortedParts(parts []rootfs.Part) []rootfs.Part {
	return slices.SortedFunc(slices.Values(parts), func(a, b rootfs.Part) int { return rootfs.ComparePaths(a.Root, b.Root) })
}
