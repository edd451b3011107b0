package main

import (
	"context"
	"fmt"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/ocilayout/verify"
	"github.com/export-profile/export-profile/rootfs"
)

// planTrusted divides parts into layers, and keeps only trusted layers of the previous image:
// a trusted key signed them, or --verify-previous read them. With neither a key nor --verify-previous
// every layer is trusted, and a note says so: only then does an update cost no more than the changes
// on a machine without a cache. A plan without an untrusted layer can keep other layers,
// so planTrusted plans again until all are trusted.
func (o layerOptions) planTrusted(ctx context.Context, say *speaker, parts []rootfs.Part, previous *ocilayout.PreviousImage) (
	layers []ocilayout.Layer, summary plan.Summary, err error) {
	wanted := make(map[string]string, len(parts))
	for _, p := range parts {
		wanted[p.Name] = p.Key
	}
	trusted, doubted := make(map[layerClaim]bool), 0
	for {
		if layers, summary, err = ocilayout.PlanSticky(parts, previous, o.StickyOptions); err != nil {
			return nil, summary, err
		}
		var kept []*ocilayout.BlobSource
		for _, l := range layers {
			if l.Reuse != nil && !trusted[claimOf(l.Reuse)] {
				kept = append(kept, l.Reuse)
			}
		}
		doubts, err := o.doubts(ctx, say, kept, wanted)
		if err != nil {
			return nil, summary, err
		}
		bad := make(map[*ocilayout.BlobSource]bool)
		for i, source := range kept {
			if doubts == nil || doubts[i] == nil {
				trusted[claimOf(source)] = true
				continue
			}
			say.debugf("layer %s of the previous image: %v", source.Descriptor.Digest, doubts[i])
			bad[source] = true
		}
		if len(bad) == 0 {
			break
		}
		doubted += len(bad)
		previous = previous.Drop(func(source *ocilayout.BlobSource) bool { return bad[source] })
	}
	switch {
	case doubted > 0 && o.verifyPrevious:
		say.notef("did not keep %s of the previous image: its history does not confirm the contents (--debug has details)", count(doubted, "layer"))
	case o.previous.transport.remote && o.vouch == nil && !o.verifyPrevious && len(trusted) > 0:
		say.notef("kept %s of the previous image unverified; --verify-previous checks them", count(len(trusted), "layer"))
	case doubted > 0:
		say.notef("did not keep %s of the previous image: no trusted key signed the contents; --verify-previous checks them instead", count(doubted, "layer"))
	}
	return layers, summary, nil
}

// layerClaim identifies a layer and the contents that it claims to have.
type layerClaim struct{ blob, diffID, history, annotations string }

func claimOf(k *ocilayout.BlobSource) layerClaim {
	return layerClaim{k.Descriptor.Digest.String(), k.DiffID.String(), k.Entry.Comment, fmt.Sprintf("%q", k.Descriptor.Annotations)}
}

// doubts returns for each layer why not to keep it, or nil if it is trusted. It returns nil if all are trusted unseen.
func (o layerOptions) doubts(ctx context.Context, say *speaker, kept []*ocilayout.BlobSource, wanted map[string]string) ([]error, error) {
	if len(kept) == 0 {
		return nil, nil
	}
	var doubts []error
	if o.vouch != nil && o.previous.transport.remote {
		var err error
		if doubts, err = o.vouch(ctx, kept, wanted); err != nil {
			return nil, err
		}
	}
	if !o.verifyPrevious {
		return doubts, nil
	}
	// Signed layers need not be read.
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
