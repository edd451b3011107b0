// Package verify finds out whether an image is what it says it is.
// It trusts nothing but digests, and says all that is wrong and where.
//
// [ReadLayout], [ReadArchive] and [ReadImage], which is for registries, read what index, manifests and configs say,
// and [(*Claims).Check] compares the layers with it, each of which it reads once:
//
//   - Every blob has the digest and the size that its descriptor says.
//   - Index, manifest and config are as the OCI image specification's schema has them;
//     media types are known, a config has as many diffIDs and entries of its history as there are layers,
//     and platforms agree.
//   - What a layer's blob is once decompressed has the diffID that the config says.
//   - A layer's tar can be read to its end. Names and hard links stay in the tree, nothing is there twice,
//     nothing is below what is not a directory, and whiteouts are empty files.
//
// Attestations that BuildKit has put beside an image are no images, and only their digests are compared.
//
// In an archive, nothing may be there twice, or under a name that leads out of it;
// if it has Docker's manifest.json, too, that must name the same images. Names that are digests must be right.
//
// Of a layer whose history entry is of this program's making (see [history.Parse]) more is known:
//
//   - Its tar is as package ocilayout writes it: directories, files and links in path order, parents first,
//     with the time 1, without hard links, attributes or names of owners, and two zero blocks at the end.
//     Store objects have the modes and the owner that they have in a store.
//   - It holds the objects that it claims and no others, and hides those that it claims to hide.
//   - The NAR hash and the size of each object are as claimed, as far as the history has them:
//     the first 12 digits of the hash. The same holds for the base files.
//   - With the layers below it, each object is visible as one layer has it: what is hidden was visible before,
//     no two layers show different objects under one name, and no layer of another program changes one.
//
// A layer of this program with changes, whose entry names them ("export-profile: add …"), lies over all of these:
// its files are checked as another program's are, its contents are compared with nothing, and what it hides is not visible.
//
// Of other layers, which may come in any order, it is said that their content was compared with nothing.
//
// Images are hostile: memory is bounded whatever they declare, and so is what a layer may become
// (Options.MaxLayer) and how many problems are kept.
package verify

import (
	"cmp"
	"context"
	"runtime"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/export-profile/export-profile/rootfs"
)

// Options say how layers are checked. The zero value checks all but the contents of store objects.
type Options struct {
	// Hash is the NAR hash of a store object, as hexadecimal digits, and the NAR's size.
	// It walks the tree once. Nil: contents are not compared with the history.
	Hash func(t rootfs.Tree, root string) (hex string, size int64, err error)
	// Progress is called with the bytes of blobs read since the last call, from several goroutines.
	Progress func(bytes int64)
	// MaxLayer is how many bytes a layer may have once decompressed; 0 means 64 GiB.
	MaxLayer int64

	maxProblems int // that are kept; 0 means 100; all are counted
}

const (
	defaultProblems = 100
	defaultLayer    = 64 << 30
)

// Report is what was found out.
type Report struct {
	Indexes  []digest.Digest // of images for several platforms, of which Images has the parts
	Images   []ImageReport
	Problems []Problem // by image, and then by layer
	Count    int       // of all problems, also those that are not kept
}

// ImageReport is one image of a report.
type ImageReport struct {
	Digest  digest.Digest `json:"digest"` // of the manifest
	Layers  int           `json:"layers"`
	Foreign int           `json:"foreignLayers"` // of another program, whose contents were compared with nothing
	Objects int           `json:"objects"`       // store objects that are visible
	Size    int64         `json:"narSize"`       // of these
}

// Check reads the layers, several at the same time, and reports what is wrong with them and with the claims.
// An error says that something could not be read; what is missing or damaged is a problem.
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
	for _, l := range order {
		group.Go(func() error { return l.check(groupCtx, c, o) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	all := findings{most: o.maxProblems}
	merge(&all, &c.found, Problem{})
	r := &Report{Indexes: c.indexes}
	for _, img := range c.images {
		merge(&all, &img.found, Problem{Image: img.digest})
		for i, l := range img.layers {
			merge(&all, &l.found, Problem{Image: img.digest, Layer: i + 1, Blob: l.blob()})
		}
		if !img.attestation {
			r.Images = append(r.Images, img.apply(&all))
		}
	}
	r.Problems, r.Count = all.list, all.count
	return r, nil
}

// merge adds what was found in one place to all that was found; at says where.
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
