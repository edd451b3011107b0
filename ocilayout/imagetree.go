package ocilayout

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/export-profile/export-profile/rootfs"
)

// ImageTree is the file tree of an image.
type ImageTree struct {
	Lower *rootfs.Lower

	store    rootfs.StoreDir
	listings []*layerListing
	counts   []map[string]int                // by layer: how many entries each store object has
	sums     map[int]map[string]*listedEntry // by layer, filled on demand: the files of the store
	changes  []purposely                     // by layer
}

// TreeOptions control how an image is read.
type TreeOptions struct {
	// Facts, if not nil, remember layers, so that each is read only once.
	Facts *rootfs.Facts
	// Hash returns the NAR hash of a store object in hexadecimal digits, and the size of the NAR.
	// It walks the tree once. If Hash is nil, store objects are compared file by file.
	Hash func(t rootfs.Tree, root string) (hex string, size int64, err error)
	// Progress is called from several goroutines, with the bytes of blobs that were read, or need not be,
	// since the last call.
	Progress func(bytes int64)
}

// listingFact returns the kind of facts about layers. A listing has the hashes of objects in the store directory.
func (img *Image) listingFact() string { return img.StoreDir.FactKind("baselayer2") }

// Tree reads each layer of the image once and determines the files that result.
// It checks the digests and diffIDs of all that it reads.
// Whiteouts affect the layers below, wherever they are in their own layer.
func (img *Image) Tree(ctx context.Context, o TreeOptions) (_ *ImageTree, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read image %s: %w", img.Digest, err)
		}
	}()
	t := &ImageTree{store: img.StoreDir, listings: make([]*layerListing, len(img.Layers)), sums: make(map[int]map[string]*listedEntry)}
	t.changes = img.changes()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	first := make(map[string]int, len(img.Layers))
	for i := range img.Layers {
		if _, again := first[img.Layers[i].Key()]; again {
			continue
		}
		first[img.Layers[i].Key()] = i
		group.Go(func() (err error) {
			if t.listings[i], err = img.list(groupCtx, &img.Layers[i], o); err != nil {
				return fmt.Errorf("layer %d: %w", i+1, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i := range img.Layers {
		if t.listings[i] == nil { // equal layers are listed once
			l := t.listings[first[img.Layers[i].Key()]]
			t.listings[i] = &layerListing{Entries: l.Entries, Objects: maps.Clone(l.Objects)}
			o.progress(img.Layers[i].Descriptor.Size)
		}
	}
	key := sha256.New()
	for _, l := range img.Layers {
		fmt.Fprintf(key, "%s\n", l.DiffID)
	}
	t.Lower = rootfs.NewLower("sha256:" + hex.EncodeToString(key.Sum(nil)))
	t.Lower.Read = func(e rootfs.LowerEntry, limit int64) ([]byte, error) {
		for _, had := range slices.Backward(t.listings[e.Layer].Entries) { // the last entry of a name counts
			if had.Content != nil && had.Path == e.Source && e.Size == int64(len(had.Content)) && e.Size <= limit {
				return had.Content, nil
			}
		}
		content, err := img.read(ctx, e, limit)
		if err != nil {
			err = &BlobError{img.Layers[e.Layer].Descriptor.Digest, err}
		}
		return content, err
	}
	for i, l := range t.listings {
		if err := t.apply(i, l); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i+1, err)
		}
	}
	return t, nil
}

// list returns the contents of a layer, from a fact or by reading the layer.
func (img *Image) list(ctx context.Context, layer *BlobSource, o TreeOptions) (*layerListing, error) {
	if fact := o.Facts.Load(img.listingFact(), layer.Key()); fact != nil {
		l := &layerListing{}
		if gob.NewDecoder(bytes.NewReader(fact)).Decode(l) == nil && l.check() == nil {
			o.progress(layer.Descriptor.Size)
			return l, nil
		}
	}
	l, err := listLayer(ctx, img.open, layer, img.StoreDir, o.Hash)
	if err != nil {
		return nil, &BlobError{layer.Descriptor.Digest, err}
	}
	o.progress(layer.Descriptor.Size)
	var fact bytes.Buffer
	if o.Hash != nil && gob.NewEncoder(&fact).Encode(l) == nil {
		o.Facts.Keep(img.listingFact(), layer.Key(), fact.Bytes())
	}
	return l, nil
}

func (o TreeOptions) progress(n int64) {
	if o.Progress != nil {
		o.Progress(n)
	}
}

// check validates a listing that comes from a fact.
func (l *layerListing) check() error {
	for _, e := range l.Entries {
		if clean, err := cleanName(e.Path); err != nil || clean != e.Path {
			return errors.Join(err, errors.New("odd path"))
		}
	}
	return nil
}

// apply puts a layer on top of those before it.
func (t *ImageTree) apply(layer int, l *layerListing) error {
	for _, e := range l.Entries {
		switch e.Kind {
		case entryHide:
			t.Lower.Remove(e.Path)
		case entryOpaque:
			t.Lower.Clear(e.Path)
		}
	}
	count := make(map[string]int)
	t.counts = append(t.counts, count)
	linked := make(map[string][]string) // Source to the places where hard links have put that file
	for _, e := range l.Entries {
		put := rootfs.LowerEntry{Entry: e.entry(), Layer: layer, Source: e.Source}
		switch e.Kind {
		case entryHide, entryOpaque:
			continue
		case entryOther:
			put.Other = true
		case entryLink:
			had, ok := t.Lower.Lookup(e.Target)
			if !ok {
				return fmt.Errorf("%q is a hard link to %q, which is not there", e.Path, e.Target)
			}
			put = had
			put.Path = e.Path
		}
		if o := objectOf(t.store, e.Path); o != "" {
			count[o]++
		}
		place, err := t.Lower.Place(e.Path)
		if err != nil {
			return err
		}
		if e.Linked != "" {
			// An unpacker follows the target as it is at this point, through links, and not the file that once had the name.
			at, err := t.Lower.Place(e.Linked)
			if had, ok := t.Lower.Lookup(e.Linked); err != nil || at != e.Linked || !ok || had.Layer != layer || had.Source != e.Source {
				put.Source = ""
			}
			linked[e.Source] = append(linked[e.Source], place)
		} else if put.Source != "" {
			// From here on the name in the tar means another file.
			for _, name := range linked[put.Source] {
				if had, ok := t.Lower.Lookup(name); ok && had.Layer == layer && had.Source == put.Source {
					had.Source = ""
					if err := t.Lower.Put(had); err != nil {
						return err
					}
				}
			}
			delete(linked, put.Source)
		}
		if place != e.Path {
			delete(l.Objects, objectOf(t.store, place)) // the object changes through a link, and its hash does not cover that
		}
		if err := t.Lower.Put(put); err != nil {
			return err
		}
	}
	return nil
}

// read reads a file of the image, if the tar of its layer has a name for it: see rootfs.LowerEntry.
func (img *Image) read(ctx context.Context, e rootfs.LowerEntry, limit int64) (content []byte, err error) {
	if e.Size > limit {
		return nil, fmt.Errorf("%q has more than %d bytes", "/"+e.Path, limit)
	}
	l, err := openLayer(ctx, img.open, &img.Layers[e.Layer])
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	found := false
	for {
		h, err := l.tar.Next()
		if err == io.EOF {
			if !found {
				return nil, fmt.Errorf("%q is a hard link to a file that has been replaced", "/"+e.Path)
			}
			return content, l.finish()
		}
		if err != nil {
			return nil, fmt.Errorf("read layer: %w", err)
		}
		if name, err := cleanName(h.Name); err == nil && name == e.Source && h.FileInfo().Mode().IsRegular() {
			if content, err = io.ReadAll(io.LimitReader(l.tar, limit)); err != nil {
				return nil, err
			}
			found = true
		}
	}
}

// StoreNames lists the names of everything in the store of the image.
func (t *ImageTree) StoreNames() []string { return t.Lower.Names(t.store.Root()) }
