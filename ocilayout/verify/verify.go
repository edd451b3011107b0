// Package verify checks that an image is what it claims to be.
// It trusts only digests. It reports every problem that it finds, and where.
//
// [ReadLayout], [ReadArchive] and [ReadImage] read indexes, manifests and configs; ReadImage is for registries.
// [Claims.Check] then reads each layer once and compares it with them:
//
//   - Every blob has the digest and the size of its descriptor.
//   - Indexes, manifests and configs are valid by the schema of the OCI image specification.
//     Their media types are known, and their platforms agree.
//     A config has one diffID for each layer, and if it has a history, one entry for each layer.
//   - The decompressed blob of a layer has the layer's diffID.
//   - The tar of a layer is readable to its end. Names and hard links stay inside the tree, no name occurs twice,
//     no entry is below one that is not a directory, and whiteouts are empty files.
//   - If annotations say that a layer has the tables of zstd:chunked, all of them are there, and the tables agree with the tar,
//     as [chunked.Checker] compares them. Clients that fetch chunks make files from the tables, and do not read the tar.
//
// BuildKit's attestations are not images: of their blobs only digests and sizes are compared.
// An entry of an index is one only if its platform is unknown, too. What has a tag in a layout, or is alone there, is an image,
// since clients take it for one.
//
// In an archive, no name occurs twice or leads out of the archive, and a file named after a digest has that digest.
// If the archive has a layout and Docker's manifest.json, both list the same images.
//
// A layer whose history entry was written by this program (see [history.Parse]) has to satisfy more:
//
//   - Its tar has the form that package ocilayout writes: directories, files and symbolic links in path order,
//     parents first, with the modification time 1, and without hard links, attributes and owner names.
//     Two zero blocks end it. Store objects have the modes and the owner that they have in a store.
//   - It holds exactly the objects of its history entry, and hides exactly those that the entry hides.
//   - The NAR of each object has the size of the history entry, and a NAR hash that begins with the 12 digits of
//     the entry, if the entry has them. The same holds for the hash and size of the base files.
//   - Together with the lower layers, every object is visible as one layer has it. A layer hides only visible objects,
//     no two layers show different objects under one name, and no other program's layer changes an object.
//
// The history also says which objects the image's maker changed on purpose. They may have any modes and owners,
// and are compared with no hash: [ImageReport] names them.
//
// This program also writes layers with changes, whose history entry names the changes ("export-profile: add …").
// Such a layer lies on top of the others, and users put anything there. Its files are checked like those of
// another program, its contents are compared with nothing, and the objects that it hides are not visible.
//
// Options.Store makes Check report the visible store objects as they are in the bytes, for a comparison with more than the history.
//
// Layers of other programs may have their entries in any order. Their contents are compared with nothing,
// and [ImageReport] counts these layers.
//
// Images are hostile. Whatever they declare, memory stays bounded, and so do the size of a decompressed layer
// (Options.MaxLayer) and the number of problems that are kept.
package verify

import (
	"cmp"
	"context"
	"io"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/export-profile/export-profile/rootfs"
)

// Options control how layers are checked. The zero value checks everything except the contents of store objects.
type Options struct {
	// Hash returns the NAR hash of a store object, as hexadecimal digits, and the size of the NAR.
	// It walks the tree once. If Hash is nil, contents are not compared with the history.
	Hash func(t rootfs.Tree, root string) (hex string, size int64, err error)
	// Progress, if set, receives the number of blob bytes read since its last call, from several goroutines.
	Progress func(bytes int64)
	// Store also hashes the objects that were changed on purpose, and fills ImageReport.Store.
	Store bool
	// File, if set, is called for each regular file and each symbolic link outside of the store objects of this program's layers:
	// base files, and all files of layers with changes and of other programs' layers, except sparse files. Blob names the layer.
	// What File returns receives the content or the target, and is closed. It may be nil. File is called from several goroutines.
	File func(blob string, e rootfs.Entry) io.WriteCloser
	// MaxLayer limits the bytes of a decompressed layer; 0 means 64 GiB.
	MaxLayer int64

	maxProblems int           // how many problems to keep; 0 means 65,536
	keep        *atomic.Int64 // how many more all layers together may keep, besides the first ones of each
}

const (
	defaultProblems = 1 << 16
	leastProblems   = 100 // to keep of each document and layer, however many others have
	defaultLayer    = 64 << 30
)

// Report is the result of a check.
type Report struct {
	Indexes  []digest.Digest // of multi-platform images; Images has the image of each platform
	Images   []ImageReport
	Problems []Problem // those of indexes first, then by image
	Count    int       // of all problems; Problems has only the first ones

	Damaged []digest.Digest // of layers whose blobs have another digest
}

// ImageReport is one image of a report.
type ImageReport struct {
	Digest  digest.Digest `json:"digest"` // of the manifest
	Layers  int           `json:"layers"`
	Foreign int           `json:"foreignLayers"`              // layers of other programs; their contents were compared with nothing
	Objects int           `json:"objects"`                    // visible store objects
	Size    int64         `json:"narSize"`                    // of the visible objects
	Changed []string      `json:"changedOnPurpose,omitempty"` // names of visible objects that were not compared with their hashes, since the history says why

	StoreDir rootfs.StoreDir `json:"-"` // that the history names, or else /nix/store
	Store    []Object        `json:"-"` // the visible store objects, sorted by name, if Options.Store is set; nil if Stacked
	// Config says how to run the image, as JSON: its entrypoint, environment, labels and so on. It may be nil.
	Config  []byte   `json:"-"`
	Blobs   []string `json:"-"` // names of the layers' blobs
	Stacked bool     `json:"-"` // other programs' layers, or layers with changes, may change store objects: only Claims.ReadStore shows the result
}

// Check reads the layers, several at a time, and reports the problems of the layers and of the claims.
// A missing or damaged blob is a problem. The error is for blobs that could not be read.
func (c *Claims) Check(ctx context.Context, o Options) (*Report, error) {
	if o.maxProblems == 0 {
		o.maxProblems = defaultProblems
	}
	if o.MaxLayer == 0 {
		o.MaxLayer = defaultLayer
	}
	order := slices.Clone(c.layers)
	slices.SortStableFunc(order, func(a, b *layer) int { return cmp.Compare(b.desc.Size, a.desc.Size) })
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(max(2, runtime.GOMAXPROCS(0)))
	var kept atomic.Int64
	kept.Store(int64(o.maxProblems))
	o.keep = &kept
	for _, l := range order {
		group.Go(func() error { return l.check(groupCtx, c, o) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	all := findings{limit: o.maxProblems}
	merge(&all, &c.found, Problem{})
	r := &Report{Indexes: c.indexes}
	for _, img := range c.images {
		merge(&all, &img.found, Problem{Image: img.digest})
		for i, l := range img.layers {
			merge(&all, &l.found, Problem{Image: img.digest, Layer: i + 1, Blob: l.blob()})
		}
		if !img.attestation {
			r.Images = append(r.Images, img.checkVisible(&all, o.Store))
		}
	}
	for _, l := range c.layers {
		if l.damaged {
			r.Damaged = append(r.Damaged, l.desc.Digest)
		}
	}
	r.Problems, r.Count = all.list, all.count
	return r, nil
}

// merge adds findings to all. Their image, layer and blob come from at.
func merge(all, some *findings, at Problem) {
	for _, p := range some.list {
		p.Image, p.Layer = at.Image, at.Layer
		if p.Blob == "" {
			p.Blob = at.Blob
		}
		all.add(p)
	}
	all.count += some.count - len(some.list)
}
