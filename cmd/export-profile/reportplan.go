package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/cmd/export-profile/internal/report"
	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/profile"
)

// plannedReport returns what a page says of the image that image would make.
func (o *reportOptions) plannedReport(ctx context.Context, a *assembly, plan layerPlan) (*report.Report, error) {
	r, number := newReport(a.closure, a.metadata)
	r.Layers = plannedLayers(a, plan, number)
	image, err := o.newImage()
	if err != nil {
		return nil, err
	}
	r.Image = report.Image{
		Layers: len(r.Layers), Paths: len(r.Objects), Source: sourceWords(o.from), Base: plannedBase(o.base.name, a.baseImage),
		Unpacked: unpacked(r), Signers: keySigners(a.closure, o.requireSigs),
	}
	for _, root := range a.closure.Roots {
		r.Image.Profiles = append(r.Image.Profiles, string(root))
	}
	switch {
	case image.Platform.OS != "":
		r.Image.Platforms = []string{platformName(image.Platform)}
	case a.arch != "":
		r.Image.Platforms = []string{"linux/" + a.arch}
	}
	if o.noProfile {
		r.Title, r.Image.Source = "added files", ""
	}
	r.Previous, err = o.plannedPrevious(a, plan, r, number)
	return r, err
}

// plannedBase names the base image with its digest.
func plannedBase(word string, b *baseImage) string {
	if b == nil {
		return ""
	}
	name := imageTitle(word)
	if !strings.Contains(name, b.digest()) {
		name += " (" + b.digest() + ")"
	}
	return fmt.Sprintf("%s, %s", name, count(b.layers(), "layer"))
}

// plannedLayers returns the base image's layers, and above them those of the plan.
func plannedLayers(a *assembly, plan layerPlan, number numbering) []report.Layer {
	var layers []report.Layer
	add := func(l report.Layer) {
		l.Title = fmt.Sprintf("layer %d", len(layers)+1)
		layers = append(layers, l)
	}
	if a.baseImage != nil {
		for _, l := range a.baseImage.image.Layers {
			add(report.Layer{State: report.StateBase, Blob: l.Descriptor.Size})
		}
	}
	for _, l := range layersOn(plan.layers, a) {
		row := report.Layer{Hides: l.Hidden}
		shown := make(map[string]bool)
		for _, p := range l.Parts {
			part := report.Part{Object: report.None, Title: besideStore, Size: p.Size}
			switch {
			case p.Root != "":
				part.Object = number(p.Name)
			case len(l.Changes) > 0:
				part.Title = strings.Join(l.Changes, ", ")
			}
			row.Parts = append(row.Parts, part)
			shown[p.Name] = true
		}
		switch {
		case l.Reuse != nil:
			row.State, row.Blob = report.StateKept, l.Reuse.Descriptor.Size
			for _, was := range plan.previous.Layers {
				if was.DiffID == l.Reuse.DiffID {
					row.Gone = goneOf(was.History, shown)
				}
			}
		case plan.previous != nil:
			row.State = report.StateNew
		}
		add(row)
	}
	return layers
}

// goneOf returns the names of objects that a layer holds but the image no longer shows.
func goneOf(h history.Claim, shown map[string]bool) (gone []string) {
	for _, o := range h.Objects {
		if !shown[o.Name] {
			gone = append(gone, o.Name)
		}
	}
	return gone
}

// visibleBefore returns the store objects that the previous image shows.
func visibleBefore(previous *ocilayout.PreviousImage) (infos []*profile.Info, err error) {
	hidden := make(map[string]bool) // by layers above
	for _, l := range slices.Backward(previous.Layers) {
		for _, o := range l.History.Objects {
			if profile.CheckBase(o.Name) != nil || hidden[o.Name] { // base parts are no store objects
				continue
			}
			info, err := historyInfo(l.History.StoreDir, ocilayout.VisibleObject{Object: o})
			if err != nil {
				return nil, fmt.Errorf("previous image: %w", err)
			}
			infos = append(infos, info)
		}
		for _, name := range l.History.Hidden {
			hidden[name] = true
		}
	}
	slices.SortFunc(infos, func(a, b *profile.Info) int { return strings.Compare(string(a.Path), string(b.Path)) })
	return infos, nil
}

// plannedPrevious compares with the image of --previous. It returns nil if there is none.
func (o *reportOptions) plannedPrevious(a *assembly, plan layerPlan, r *report.Report, number numbering) (*report.Previous, error) {
	if plan.previous == nil {
		return nil, nil
	}
	infos, err := visibleBefore(plan.previous)
	if err != nil {
		return nil, err
	}
	before, after := &side{infos: infos}, &side{infos: a.closure.Infos}
	p := &report.Previous{Image: report.Image{
		Name: imageTitle(o.previous), Digest: plan.previous.Digest.String(), Blobs: plan.previous.Size(), Layers: len(plan.previous.Layers), Paths: len(infos),
	}}
	setChanges(p, before, after, number)
	is := make(map[string]bool) // names of the parts in the image
	for _, l := range plan.layers {
		for _, part := range l.Parts {
			is[part.Name] = true
		}
	}
	shown := make(map[string]bool, len(infos)) // names of the objects that the previous image shows
	for _, info := range infos {
		shown[info.Path.Base()] = true
	}
	base := 0
	for _, l := range a.baseImage.blobs() {
		if base++; plan.has(l) {
			p.Fetch.Had += l.Size
		} else {
			p.Fetch.Layers += l.Size
		}
	}
	for i, l := range plan.previous.Layers {
		row := previousLayer(i, l.Descriptor.Size, l.History, is)
		if now := slices.IndexFunc(plan.layers, func(next ocilayout.Layer) bool { return next.Reuse != nil && next.Reuse.DiffID == l.DiffID }); now >= 0 {
			row.Now, row.Moved = base+now, nil
			p.Fetch.Had += l.Descriptor.Size
		}
		p.Image.Unpacked += visibleBytes(l.History, shown)
		p.Layers = append(p.Layers, row)
	}
	for _, l := range r.Layers {
		if l.State == report.StateNew {
			p.Fetch.Unbuilt++
			p.Fetch.Unpacked += layerBytes(r, l)
		}
	}
	return p, nil
}

// previousLayer describes a layer that the new image does not keep. Is has the names of the parts that the new image shows.
func previousLayer(i int, blob int64, h history.Claim, is map[string]bool) report.PreviousLayer {
	row := report.PreviousLayer{Title: fmt.Sprintf("layer %d", i+1), Blob: blob, Now: report.None}
	for _, o := range h.Objects {
		if profile.CheckBase(o.Name) != nil {
			row.Parts = append(row.Parts, besideStore)
			continue
		}
		row.Parts = append(row.Parts, o.Name)
		if is[o.Name] {
			row.Moved = append(row.Moved, o.Name)
		}
	}
	return row
}

// visibleBytes returns the bytes of a layer's parts beside the store, and of those of its objects that the image shows.
func visibleBytes(h history.Claim, shown map[string]bool) (sum int64) {
	for _, o := range h.Objects {
		if profile.CheckBase(o.Name) != nil || shown[o.Name] {
			sum += o.Size
		}
	}
	return sum
}

// layerBytes returns the visible bytes of a layer.
func layerBytes(r *report.Report, l report.Layer) (sum int64) {
	for _, p := range l.Parts {
		if p.Object == report.None {
			sum += p.Size
		} else {
			sum += r.Objects[p.Object].Size
		}
	}
	return sum
}

// unpacked returns the visible bytes of all layers, as far as they are known.
func unpacked(r *report.Report) (sum int64) {
	for _, l := range r.Layers {
		sum += layerBytes(r, l)
	}
	return sum
}
