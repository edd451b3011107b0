package ocilayout

import (
	"fmt"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/rootfs"
)

// Layer is one layer of an image to be built.
type Layer struct {
	// StoreDir is the store directory of the image.
	StoreDir rootfs.StoreDir
	// Parts are the parts that this layer makes visible in the image.
	Parts []rootfs.Part
	// Hidden are the roots of lower layers' parts that this layer hides by whiteouts, sorted.
	// In a layer with Changes they may be any paths in directories of Parts.
	Hidden []string
	// Changes, if any, describe for people what a layer above all store objects does.
	// Its parts belong neither to the store nor to the base files. PlanSticky never reuses such a layer.
	Changes []string
	// Reuse, if not nil, is a layer of another image that is used instead of building one.
	// It may hold more than Parts; other layers hide the rest.
	Reuse *BlobSource
	// Shared, if not nil, is the blob of this layer in the shared cache.
	// If it cannot be fetched, the layer is built, with the same result.
	Shared *SharedBlob
}

// Size estimates the bytes that the layer holds.
func (l Layer) Size() int64 {
	var n int64
	for _, p := range l.Parts {
		n += p.Size
	}
	return n
}

// entry returns the layer's entry in the history of the image.
func (l Layer) entry(created time.Time) (ispec.History, error) {
	if l.Reuse != nil {
		return l.Reuse.Entry, nil
	}
	return history.NewEntry(created, l.StoreDir, l.Parts, l.Hidden, l.Changes)
}

// title names the layer in errors.
func (l Layer) title() string {
	switch len(l.Parts) {
	case 0:
		if l.Reuse != nil && l.Reuse.Origin != "" {
			return l.Reuse.Origin
		}
		return "nothing"
	case 1:
		return l.Parts[0].Name
	}
	return fmt.Sprintf("%s and %d more", l.Parts[0].Name, len(l.Parts)-1)
}

// Plan divides parts into layers as [plan.New] does.
func Plan(parts []rootfs.Part, o plan.Options) ([]Layer, error) {
	planned, err := plan.New(parts, o)
	if err != nil {
		return nil, err
	}
	return asLayers(parts, planned, nil), nil
}

// PlanSticky divides parts into layers as [plan.Sticky] does, reusing layers of a previous image, which may be nil.
func PlanSticky(parts []rootfs.Part, previous *PreviousImage, o plan.StickyOptions) ([]Layer, plan.Summary, error) {
	var had []plan.Candidate
	if previous != nil {
		for _, l := range previous.Layers {
			had = append(had, plan.Candidate{Claim: l.History, Size: l.Descriptor.Size})
		}
	}
	planned, summary, err := plan.Sticky(parts, had, o)
	if err != nil {
		return nil, summary, err
	}
	return asLayers(parts, planned, previous), summary, nil
}

func asLayers(parts []rootfs.Part, planned []plan.Group, previous *PreviousImage) []Layer {
	store, _ := rootfs.StoreDirOf(parts) // the plan has checked it
	layers := make([]Layer, len(planned))
	for i, l := range planned {
		layers[i] = Layer{StoreDir: store, Parts: l.Parts, Hidden: l.Hidden}
		if l.Reuse > 0 {
			layers[i].Reuse = &previous.Layers[l.Reuse-1].BlobSource
		}
	}
	return layers
}
