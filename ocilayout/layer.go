package ocilayout

import (
	"fmt"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/rootfs"
)

// Layer is what becomes one layer of an image.
type Layer struct {
	// Parts are what is visible in the image of this layer.
	Parts []rootfs.Part
	// Hidden are the roots of parts of layers below that this one makes invisible (whiteouts), sorted.
	// With Changes they may be any paths in directories that Parts hold.
	Hidden []string
	// Changes, if there are any, say what a layer on top of all store objects does, for people:
	// its parts are none of the image's store and base. PlanSticky never keeps such a layer.
	Changes []string
	// Reuse, if not nil, is a layer of another image that is this one, and is used as it is:
	// nothing is built. It may hold more than Parts, what other layers hide.
	Reuse *BlobSource
	// Shared, if not nil, is the layer's blob in a cache of several machines. It makes no difference to an image:
	// where it cannot be had, the layer is built.
	Shared *SharedBlob
}

// Size is about how many bytes it holds.
func (l Layer) Size() int64 {
	var n int64
	for _, p := range l.Parts {
		n += p.Size
	}
	return n
}

// entry is the layer's entry in the image's history.
func (l Layer) entry(created time.Time) (ispec.History, error) {
	if l.Reuse != nil {
		return l.Reuse.Entry, nil
	}
	return history.NewEntry(created, l.Parts, l.Hidden, l.Changes)
}

// title names a layer in an error.
func (l Layer) title() string {
	switch len(l.Parts) {
	case 0:
		if l.Reuse != nil && l.Reuse.Of != "" {
			return l.Reuse.Of
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
	return asLayers(planned, nil), nil
}

// PlanSticky divides parts into layers as [plan.Sticky] does, and uses layers of a previous image. Nil is none.
func PlanSticky(parts []rootfs.Part, previous *PreviousImage, o plan.StickyOptions) ([]Layer, plan.Summary, error) {
	var had []plan.Candidate
	if previous != nil {
		for _, l := range previous.Layers {
			had = append(had, plan.Candidate{Claim: l.History, Size: l.Descriptor.Size})
		}
	}
	planned, report, err := plan.Sticky(parts, had, o)
	if err != nil {
		return nil, report, err
	}
	return asLayers(planned, previous), report, nil
}

func asLayers(planned []plan.Group, previous *PreviousImage) []Layer {
	layers := make([]Layer, len(planned))
	for i, l := range planned {
		layers[i] = Layer{Parts: l.Parts, Hidden: l.Hidden}
		if l.Reuse > 0 {
			layers[i].Reuse = &previous.Layers[l.Reuse-1].BlobSource
		}
	}
	return layers
}
