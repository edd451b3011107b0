// Package report writes what is known of an image as one HTML file, for people.
//
// The page needs no network and says so itself, in a Content-Security-Policy that forbids everything but its own
// script and style, by their hashes. It has the facts twice: in tables, which are complete without a script
// and are what is printed and read aloud, and as JSON, of which the script draws a treemap and the graph of references.
// The script is made of web, with d3, by web/build.mjs; bundle.js is what comes out, and no build of the Go program needs npm.
//
// Names are hostile. They are only ever text, in HTML and in the JSON, and what is not printable in them is quoted.
// The same report gives the same bytes.
package report

import (
	"fmt"
	"slices"
)

// Report is all that is known of an image. Objects, layers and what was before are in the order in which they are shown.
type Report struct {
	Title    string // what the image is of
	Roots    []int  // the objects that the image is of
	Objects  []Object
	Layers   []Layer
	Checked  bool // whether there was a check, and Findings is what it found
	Findings []Finding
	Previous *Previous // what is compared with; nil if nothing is
}

// None is the number of no object or layer.
const None = -1

// Object is a store object.
type Object struct {
	Path       string // the base name
	Name       string // that without its hash
	Package    string // its name without the version
	Version    string // or empty
	Size       int64
	Closure    int64 // bytes of it and all that it needs
	References []int // other objects
	Before     int   // the one before it on the shortest chain from a root, or None
	Dominator  int   // the nearest other one without which it would leave, or None
}

// Layer is a layer of the image, the lowest first.
type Layer struct {
	Title string // as in "layer 1"
	State State
	Blob  int64 // bytes of what is transferred, where that is known, or 0
	Parts []Part
	Gone  []string // base names of what it holds and the image does not show
	Hides []string // what it makes invisible in the layers below
}

// State is what a layer is to those who have the previous image.
type State string

// A layer is Foreign if it is a base image's. Without a previous image, no other state is known.
const (
	New     State = "new"
	Kept    State = "kept"
	Foreign State = "of the base image"
)

// Part is what a layer shows: an object, or other files.
type Part struct {
	Object int    // or None
	Title  string // of other files
	Size   int64  // of other files
}

// Finding is something that a check has found. Errors have the severity "error".
type Finding struct {
	Severity string
	Path     string
	Reason   string
}

// Previous is the image that this one is to take the place of.
type Previous struct {
	Digest  string
	Objects []Object // what it shows: Path, Name, Package, Version and Size
	Changes []Change // of packages since then
	// Layers are those of it that are not kept.
	Layers []Lost
}

// Lost is a layer of the previous image that is not kept.
type Lost struct {
	Title string
	Blob  int64
	Parts []string // base names of what it holds, and titles of other files
	Again []string // base names of those of them that the image has in other layers
}

// check refuses numbers of nothing, and chains without an end.
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

// exclusive are the bytes that would leave with each object: its own and those of all that it dominates.
func (r *Report) exclusive() []int64 {
	sum := make([]int64, len(r.Objects))
	for i, o := range r.Objects {
		for at := i; at != None; at = r.Objects[at].Dominator {
			sum[at] += o.Size
		}
	}
	return sum
}

// layerOf is the layer that shows each object, or None.
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

// isNew says of each object whether the previous image does not have it.
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

// size is how many bytes, as Nix says it: at least in KiB.
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
