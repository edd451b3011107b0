package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/cmd/export-profile/internal/report"
	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/profile"
)

// newReport returns the contents of the page, in the order of closure and plan.
// They don't depend on this machine, or on the source of the store paths.
func newReport(a *assembly, plan layerPlan) *report.Report {
	graph := profile.NewGraph(a.closure)
	infos := graph.Order()
	at := make(map[profile.Path]int, len(infos))
	for i, info := range infos {
		at[info.Path] = i
	}
	number := func(p profile.Path) int {
		if i, ok := at[p]; ok {
			return i
		}
		return report.None
	}
	r := &report.Report{StoreDir: a.closure.StoreDir}
	var titles []string
	for _, root := range a.closure.Roots {
		r.Roots = append(r.Roots, number(root))
		titles = append(titles, root.Name())
	}
	r.Title = strings.Join(titles, ", ")
	predecessors, dominators := graph.Predecessors(a.closure.Roots...), graph.Dominators(a.closure.Roots...)
	for _, info := range infos {
		o := reportObject(info.Path.Base(), info.NarSize)
		o.Closure = graph.ClosureSize(info.Path)
		for _, p := range graph.References(info.Path) {
			o.References = append(o.References, number(p))
		}
		o.Predecessor, o.Dominator = number(predecessors[info.Path]), number(dominators[info.Path])
		r.Objects = append(r.Objects, o)
	}
	r.Layers = reportLayers(a, plan, func(name string) int { return number(profile.Path(a.closure.StoreDir.String() + "/" + name)) })
	r.Previous = reportPrevious(plan, a.closure)
	return r
}

// besideStore names the base part for people.
const besideStore = "files beside the store"

// reportObject returns the store object with a base name.
func reportObject(base string, size int64) report.Object {
	name := profile.Path(base).Name() // base was checked before
	pname, version := profile.SplitName(name)
	return report.Object{Path: base, Name: name, Package: pname, Version: version, Size: size, Predecessor: report.None, Dominator: report.None}
}

// reportLayers returns the base image's layers, and above them those of the plan.
func reportLayers(a *assembly, plan layerPlan, number func(name string) int) []report.Layer {
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
func visibleBefore(previous *ocilayout.PreviousImage) (infos []*profile.Info) {
	hidden := make(map[string]bool) // by layers above
	for _, l := range slices.Backward(previous.Layers) {
		for _, o := range l.History.Objects { // base parts are no store objects
			if p, err := profile.ParseBase(l.History.StoreDir, o.Name); err == nil && !hidden[o.Name] {
				infos = append(infos, &profile.Info{Path: p, NarSize: o.Size})
			}
		}
		for _, name := range l.History.Hidden {
			hidden[name] = true
		}
	}
	return infos
}

// reportPrevious returns the objects of the previous image, the changes of its packages as diff has them,
// and the layers that are not kept.
func reportPrevious(plan layerPlan, closure *profile.Closure) *report.Previous {
	if plan.previous == nil {
		return nil
	}
	p := &report.Previous{Digest: plan.previous.Digest.String()}
	before := visibleBefore(plan.previous)
	for _, info := range before {
		p.Objects = append(p.Objects, reportObject(info.Path.Base(), info.NarSize))
	}
	for _, d := range profile.Diff(before, closure.Infos) {
		p.Changes = append(p.Changes, report.Change{Package: d.Name, Removed: d.Removed, Added: d.Added, Before: d.Before, After: d.After})
	}
	is := make(map[string]bool) // names of the parts in the image
	for _, l := range plan.layers {
		for _, part := range l.Parts {
			is[part.Name] = true
		}
	}
	for i, l := range slices.Backward(plan.previous.Layers) {
		if slices.ContainsFunc(plan.layers, func(next ocilayout.Layer) bool { return next.Reuse != nil && next.Reuse.DiffID == l.DiffID }) {
			continue
		}
		lost := report.LostLayer{Title: fmt.Sprintf("layer %d", i+1), Blob: l.Descriptor.Size}
		for _, o := range l.History.Objects {
			if profile.CheckBase(o.Name) != nil {
				lost.Parts = append(lost.Parts, besideStore)
				continue
			}
			lost.Parts = append(lost.Parts, o.Name)
			if is[o.Name] {
				lost.Moved = append(lost.Moved, o.Name)
			}
		}
		p.Lost = append(p.Lost, lost)
	}
	slices.Reverse(p.Lost)
	return p
}
