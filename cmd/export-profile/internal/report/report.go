// Package report writes the facts about an image as one HTML file for people.
//
// The page needs no network: its Content-Security-Policy forbids everything but its own script and style,
// by their hashes. The page has the facts twice. Tables are complete without a script, for printers and screen readers.
// From JSON the script draws a treemap and the graph of references.
// web/build.mjs builds bundle.js from web and d3, so that building the Go program needs no npm.
//
// Names are hostile. They are always text, in HTML and in JSON, with unprintable characters quoted.
// The same report gives the same bytes.
package report

import (
	"fmt"
	"slices"
)

// Report has all facts about an image, in the order of the page.
type Report struct {
	Title    string // names of the profiles
	Roots    []int  // the profiles, by their number in Objects
	Objects  []Object
	Layers   []Layer
	Checked  bool // whether Findings are those of a check
	Findings []Finding
	Previous *Previous // the image to compare with, or nil
}

// None is the number for no object or layer.
const None = -1

// Object is a store object.
type Object struct {
	Path       string // the base name
	Name       string // Path without its hash
	Package    string // Name without the version
	Version    string // or empty
	Size       int64
	Closure    int64 // bytes of its closure
	References []int // other objects
	Before     int   // its predecessor on the shortest chain from a root, or None
	Dominator  int   // the nearest object that every chain from a root passes, or None
}

// Layer is a layer of the image, the lowest first.
type Layer struct {
	Title string // as in "layer 1"
	State State
	Blob  int64 // bytes to transfer, or 0 if unknown
	Parts []Part
	Gone  []string // base names of objects in it that the image does not show
	Hides []string // paths in the layers below that it hides
}

// State compares a layer with the previous image.
type State string

// A layer of a base image is Foreign. Other layers have a state only with a previous image.
const (
	New     State = "new"
	Kept    State = "kept"
	Foreign State = "of the base image"
)

// Part is one thing that a layer shows: an object, or other files.
type Part struct {
	Object int    // or None
	Title  string // of other files
	Size   int64  // of other files
}

// Finding is a problem that check found. Errors have the severity "error".
type Finding struct {
	Severity string
	Path     string
	Reason   string
}

// Previous is the image that this one will replace.
type Previous struct {
	Digest  string
	Objects []Object // with Path, Name, Package, Version and Size
	Changes []Change // of packages
	// Layers lists its layers that are not kept.
	Layers []Lost
}

// Lost is a layer of the previous image that is not kept.
type Lost struct {
	Title string
	Blob  int64
	Parts []string // base names of objects, and titles of other files
	Again []string // those Parts that the image has in other layers
}

// check refuses numbers out of range and endless chains.
func (r *Report) check() error {
	n := len(r.Objects)
	object := func(i int) bool { return i >= 0 && i < n }
	if slices.ContainsFunc(r.Roots, func(i int) bool { return !object(i) }) {
		return fmt.Errorf("roots %v: there are %d objects", r.Roots, n)
	}
	seen := make(map[string]bool, n)
	for i, o := range r.Objects {
		if seen[o.Path] {
			return fmt.Errorf("object %q is there twice", o.Path)
		}
		seen[o.Path] = true
		for _, j := range append(slices.Clone(o.References), o.Before, o.Dominator) {
			if j != None && !object(j) || j == i {
				return fmt.Errorf("object %q: %d is no other object", o.Path, j)
			}
		}
		if slices.Contains(o.References, None) {
			return fmt.Errorf("object %q refers to nothing", o.Path)
		}
	}
	for _, next := range []func(Object) int{
		func(o Object) int { return o.Before },
		func(o Object) int { return o.Dominator },
	} {
		ends := make([]bool, n)
		for i := range r.Objects {
			steps := 0
			for j := i; j != None && !ends[j]; j = next(r.Objects[j]) {
				if steps++; steps > n {
					return fmt.Errorf("object %q: what is before it has no end", r.Objects[i].Path)
				}
			}
			for j := i; j != None && !ends[j]; j = next(r.Objects[j]) {
				ends[j] = true
			}
		}
	}
	for _, l := range r.Layers {
		for _, p := range l.Parts {
			if p.Object != None && !object(p.Object) {
				return fmt.Errorf("%s: there is no object %d", l.Title, p.Object)
			}
		}
	}
	return nil
}

// exclusive returns the bytes that would leave with each object: its own and those of all objects that it dominates.
func (r *Report) exclusive() []int64 {
	sum := make([]int64, len(r.Objects))
	for i, o := range r.Objects {
		for at := i; at != None; at = r.Objects[at].Dominator {
			sum[at] += o.Size
		}
	}
	return sum
}

// layerOf returns the layer that shows each object, or None.
func (r *Report) layerOf() []int {
	layers := make([]int, len(r.Objects))
	for i := range layers {
		layers[i] = None
	}
	for i, l := range r.Layers {
		for _, p := range l.Parts {
			if p.Object != None {
				layers[p.Object] = i
			}
		}
	}
	return layers
}

// isNew says for each object whether the previous image lacks it.
func (r *Report) isNew() []bool {
	is := make([]bool, len(r.Objects))
	if r.Previous == nil {
		return is
	}
	was := make(map[string]bool, len(r.Previous.Objects))
	for _, o := range r.Previous.Objects {
		was[o.Path] = true
	}
	for i, o := range r.Objects {
		is[i] = !was[o.Path]
	}
	return is
}

// size formats a number of bytes as Nix does: KiB is the smallest unit.
func size(n int64) string {
	sign := ""
	if n < 0 {
		sign, n = "−", -n
	}
	x, unit := float64(n)/1024, "KiB"
	for _, larger := range []string{"MiB", "GiB", "TiB"} {
		if x < 1024 {
			break
		}
		x, unit = x/1024, larger
	}
	return fmt.Sprintf("%s%.1f %s", sign, x, unit)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %s", n, noun+"s")
}
