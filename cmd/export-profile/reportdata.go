package main

import (
	"strings"

	"github.com/export-profile/export-profile/cmd/export-profile/internal/report"
	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/sbom"
)

// numbering finds a store object in a report by its base name. It returns report.None for others.
type numbering func(base string) int

// newReport returns what a page says of a closure, in the order of closure. It does not depend on this machine.
func newReport(closure *profile.Closure, metadata sbom.Metadata) (*report.Report, numbering) {
	graph := profile.NewGraph(closure)
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
	r := &report.Report{StoreDir: closure.StoreDir, Licensed: len(metadata) > 0}
	var titles []string
	for _, root := range closure.Roots {
		r.Roots = append(r.Roots, number(root))
		titles = append(titles, root.Name())
	}
	r.Title = strings.Join(titles, ", ")
	predecessors, dominators := graph.Predecessors(closure.Roots...), graph.Dominators(closure.Roots...)
	for _, info := range infos {
		o := reportObject(info.Path.Base(), info.NarSize)
		o.Closure = graph.ClosureSize(info.Path)
		for _, p := range graph.References(info.Path) {
			o.References = append(o.References, number(p))
		}
		o.Predecessor, o.Dominator = number(predecessors[info.Path]), number(dominators[info.Path])
		o.Licence = metadata.Licence(info.Path)
		r.Objects = append(r.Objects, o)
	}
	return r, func(base string) int { return number(profile.Path(closure.StoreDir.String() + "/" + base)) }
}

// setChanges fills in how the store paths of two closures or images differ, as diff has it.
func setChanges(p *report.Previous, before, after *side, number numbering) {
	for _, info := range before.infos {
		p.Objects = append(p.Objects, reportObject(info.Path.Base(), info.NarSize))
	}
	d := compareSides(before, after)
	for _, c := range d.Packages {
		p.Changes = append(p.Changes, report.Change{Package: c.Name, Removed: c.Removed, Added: c.Added, Before: c.Before, After: c.After})
	}
	for _, path := range d.Changed {
		p.Altered = append(p.Altered, number(path.Base()))
	}
}

// besideStore names the base part for people.
const besideStore = "files beside the store"

// reportObject returns the store object with a base name.
func reportObject(base string, size int64) report.Object {
	name := profile.Path(base).Name() // base was checked before
	pname, version := profile.SplitName(name)
	return report.Object{Path: base, Name: name, Package: pname, Version: version, Size: size, Predecessor: report.None, Dominator: report.None}
}
