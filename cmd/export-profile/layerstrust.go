package main

import (
	"context"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/ocilayout/verify"
	"github.com/export-profile/export-profile/rootfs"
)

// planBelieved divides parts into layers, and keeps of the previous image only what is believed:
// what a trusted key has signed, where there is one, or what was read. Where neither is asked for,
// all of it is, since a machine without a cache can update an image at the cost of what changed only so; and it is said.
// Without a layer that is not, other layers may be kept, so that this goes on until all are believed.
func (o layering) planBelieved(ctx context.Context, say *speaker, parts []rootfs.Part, previous *ocilayout.PreviousImage) (
	layers []ocilayout.Layer, report plan.Summary, err error) {
	wanted := make(map[string]string, len(parts))
	for _, p := range parts {
		wanted[p.Name] = p.Key
	}
	believed, doubted := make(map[claimed]bool), 0
	for {
		if layers, report, err = ocilayout.PlanSticky(parts, previous, o.StickyOptions); err != nil {
			return nil, report, err
		}
		var kept []*ocilayout.BlobSource
		for _, l := range layers {
			if l.Reuse != nil && !believed[claimedBy(l.Reuse)] {
				kept = append(kept, l.Reuse)
			}
		}
		doubts, err := o.doubts(ctx, say, kept, wanted)
		if err != nil {
			return nil, report, err
		}
		bad := make(map[*ocilayout.BlobSource]bool)
		for i, k := range kept {
			if doubts == nil || doubts[i] == nil {
				believed[claimedBy(k)] = true
				continue
			}
			say.debugf("layer %s of the previous image: %v", k.Descriptor.Digest, doubts[i])
			bad[k] = true
		}
		if len(bad) == 0 {
			break
		}
		doubted += len(bad)
		previous = previous.Drop(func(k *ocilayout.BlobSource) bool { return bad[k] })
	}
	switch {
	case doubted > 0 && o.verifyPrevious:
		say.notef("of the previous image %s not kept: not what the image says (--debug says why)", layersAre(doubted))
	case o.from.kind.remote && o.vouch == nil && !o.verifyPrevious && len(believed) > 0:
		say.notef("%s taken at the word of the previous image; --verify-previous reads them", layersAre(len(believed)))
	case doubted > 0:
		say.notef("of the previous image %s not kept: no trusted key has signed what they hold; --verify-previous reads them", layersAre(doubted))
	}
	return layers, report, nil
}

// claimed is what an image says of a layer.
type claimed struct{ blob, diffID, history string }

func claimedBy(k *ocilayout.BlobSource) claimed {
	return claimed{k.Descriptor.Digest.String(), k.DiffID.String(), k.Entry.Comment}
}

// doubts are reasons not to keep layers of the previous image, or nil if it is simply believed.
func (o layering) doubts(ctx context.Context, say *speaker, kept []*ocilayout.BlobSource, wanted map[string]string) ([]error, error) {
	if len(kept) == 0 {
		return nil, nil
	}
	var doubts []error
	if o.vouch != nil && o.from.kind.remote {
		var err error
		if doubts, err = o.vouch(ctx, kept, wanted); err != nil {
			return nil, err
		}
	}
	if !o.verifyPrevious {
		return doubts, nil
	}
	// What is signed need not be read.
	var unread []*ocilayout.BlobSource
	var at []int
	size := int64(0)
	for i, k := range kept {
		if doubts == nil || doubts[i] != nil {
			unread, at = append(unread, k), append(at, i)
			size += k.Descriptor.Size
		}
	}
	reading := say.progress("verifying", size)
	defer reading.done()
	found, err := verify.CheckReuse(ctx, unread, wanted, verify.Options{Hash: narHash, Progress: reading.add})
	if err != nil {
		return nil, err
	}
	if doubts == nil {
		doubts = make([]error, len(kept))
	}
	for i, n := range at {
		doubts[n] = found[i]
	}
	return doubts, nil
}

func layersAre(n int) string {
	if n == 1 {
		return "1 layer is"
	}
	return count(n, "layer") + " are"
}
