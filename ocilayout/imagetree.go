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

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// ImageTree is the files of an image.
type ImageTree struct {
	Lower *rootfs.Lower

	listings []*layerListing
	counts   []map[string]int                // for each layer, the entries of each store object
	sums     map[int]map[string]*listedEntry // for a layer that was asked for, its files of the store
}

// TreeOptions say how the files of an image are found out.
type TreeOptions struct {
	// Facts, if not nil, spare reading a layer that was read before.
	Facts *rootfs.Facts
	// Hash is the NAR hash of a store object, as hexadecimal digits, and the NAR's size.
	// It walks the tree once. Without it, store objects are compared file by file.
	Hash func(t rootfs.Tree, root string) (hex string, size int64, err error)
	// Progress is called with the bytes of blobs that were read, or need not be, since the last call,
	// from several goroutines.
	Progress func(bytes int64)
}

// listingFact is the kind of the facts about layers.
const listingFact = "baselayer2"

// Tree reads the layers of an image, each once, and finds out which files they come to.
// All that is read must have the digests and diffIDs that manifest and config say.
// Whiteouts are about layers below, wherever they are in a layer.
func (f *Image) Tree(ctx context.Context, o TreeOptions) (_ *ImageTree, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read image %s: %w", f.Digest, err)
		}
	}()
	t := &ImageTree{listings: make([]*layerListing, len(f.Layers)), sums: make(map[int]map[string]*listedEntry)}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	first := make(map[string]int, len(f.Layers))
	for i := range f.Layers {
		if _, again := first[f.Layers[i].Key()]; again {
			continue
		}
		first[f.Layers[i].Key()] = i
		group.Go(func() (err error) {
			if t.listings[i], err = f.list(groupCtx, &f.Layers[i], o); err != nil {
				return fmt.Errorf("layer %d: %w", i+1, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i := range f.Layers {
		if t.listings[i] == nil { // equal ones are listed once
			l := t.listings[first[f.Layers[i].Key()]]
			t.listings[i] = &layerListing{Entries: l.Entries, Objects: maps.Clone(l.Objects)}
			o.progress(f.Layers[i].Descriptor.Size)
		}
	}
	key := sha256.New()
	for _, l := range f.Layers {
		fmt.Fprintf(key, "%s\n", l.DiffID)
	}
	t.Lower = rootfs.NewLower("sha256:" + hex.EncodeToString(key.Sum(nil)))
	t.Lower.Read = func(e rootfs.LowerEntry, limit int64) ([]byte, error) {
		for _, had := range slices.Backward(t.listings[e.Layer].Entries) { // of several, the last one counts
			if had.Content != nil && had.Path == e.Source && e.Size == int64(len(had.Content)) && e.Size <= limit {
				return had.Content, nil
			}
		}
		return f.read(ctx, e, limit)
	}
	for i, l := range t.listings {
		if err := t.apply(i, l); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i+1, err)
		}
	}
	return t, nil
}

// list is what is in a layer, by a fact or by reading it.
func (f *Image) list(ctx context.Context, k *BlobSource, o TreeOptions) (*layerListing, error) {
	if fact := o.Facts.Load(listingFact, k.Key()); fact != nil {
		l := &layerListing{}
		if gob.NewDecoder(bytes.NewReader(fact)).Decode(l) == nil && l.check() == nil {
			o.progress(k.Descriptor.Size)
			return l, nil
		}
	}
	l, err := listLayer(ctx, f.open, k, o.Hash)
	if err != nil {
		return nil, err
	}
	o.progress(k.Descriptor.Size)
	var fact bytes.Buffer
	if o.Hash != nil && gob.NewEncoder(&fact).Encode(l) == nil {
		o.Facts.Keep(listingFact, k.Key(), fact.Bytes())
	}
	return l, nil
}

func (o TreeOptions) progress(n int64) {
	if o.Progress != nil {
		o.Progress(n)
	}
}

// check is about a listing that was kept.
func (l *layerListing) check() error {
	for _, e := range l.Entries {
		if clean, err := cleanName(e.Path); err != nil || clean != e.Path {
			return errors.Join(err, errors.New("odd path"))
		}
	}
	return nil
}

// apply applies a layer to those below it.
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
	linked := make(map[string][]string) // by Source, where hard links have put that file
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
		if o := objectOf(e.Path); o != "" {
			count[o]++
		}
		place, err := t.Lower.Place(e.Path)
		if err != nil {
			return err
		}
		if e.Linked != "" {
			// An unpacker finds the target as it is then, through links, and not what once had its name.
			at, err := t.Lower.Place(e.Linked)
			if had, ok := t.Lower.Lookup(e.Linked); err != nil || at != e.Linked || !ok || had.Layer != layer || had.Source != e.Source {
				put.Source = ""
			}
			linked[e.Source] = append(linked[e.Source], place)
		} else if put.Source != "" {
			// The name in the tar is another file's from now on.
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
			delete(l.Objects, objectOf(place)) // it is changed through a link, and was hashed without that
		}
		if err := t.Lower.Put(put); err != nil {
			return err
		}
	}
	return nil
}

// read reads a file of the image, if it has a name in its layer's tar: see rootfs.LowerEntry.
func (f *Image) read(ctx context.Context, e rootfs.LowerEntry, limit int64) (content []byte, err error) {
	if e.Size > limit {
		return nil, fmt.Errorf("%q has more than %d bytes", "/"+e.Path, limit)
	}
	l, err := openLayer(ctx, f.open, &f.Layers[e.Layer])
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

// StoreNames are the names of all that the image has in its store.
func (t *ImageTree) StoreNames() []string { return t.Lower.Names(history.StoreDir) }
