// Package report writes one HTML file that shows people what an image contains, and why.
//
// The page needs no network. Its Content-Security-Policy allows only its own script and style, by their hashes.
// The page has the facts twice. The tables are for printing and for screen readers, and need no script.
// They are complete if there are at most 500 store paths; otherwise the script shows further ones.
// From JSON, the script draws a treemap and the graph of references. Bars are drawn without it.
// web/build.mjs builds bundle.js from web/src and d3. The Go program embeds bundle.js, so building it needs no npm.
//
// Names are hostile. In HTML and in JSON they are only text, and names that are not printable are quoted.
// The same report always gives the same bytes.
package report

import (
	"fmt"
	"slices"

	"github.com/export-profile/export-profile/rootfs"
)

// Report holds the facts about an image. The page shows layers, findings and changes in the order of their slices.
type Report struct {
	StoreDir rootfs.StoreDir
	Title    string // the name of the image, or the names of the profiles
	Image    Image
	Roots    []int // indexes of the profiles in Objects
	Objects  []Object
	Layers   []Layer
	Checked  bool // Findings are the results of a check; false if there was no check
	Findings []Finding
	Licensed bool      // Licence of objects is what metadata say; false if there are none
	Previous *Previous // nil without a previous image
}

// None is an index that stands for no object or no layer.
const None = -1

// Object is a store object.
type Object struct {
	Path        string // the base name
	Name        string // the base name without its hash
	Package     string // the name without its version
	Version     string // may be empty
	Size        int64
	Closure     int64 // bytes of the object and of everything that it needs
	References  []int // indexes of other objects
	Predecessor int   // the previous object on the shortest chain from a root, or None
	Dominator   int   // the nearest other object that is on all chains from a root, or None

	Licence string // an expression, or "" if it is unknown
}

// Layer is a layer of the image.
type Layer struct {
	Title string // such as "layer 1"
	State State
	Blob  int64 // bytes of the blob, or 0 if they are unknown
	Parts []Part
	Gone  []string // base names of objects that the layer holds but the image no longer shows
	Hides []string // paths that the layer hides in lower layers
}

// State says where a layer comes from. It tells a holder of the previous image which layers to fetch.
type State string

// Without a previous image, layers that are not of the base image have no state.
const (
	StateNew  State = "new"
	StateKept State = "kept" // from the previous image
	StateBase State = "of the base image"
)

// Part is a visible part of a layer: a store object, or other files.
type Part struct {
	Object int    // index of the object, or None for other files
	Title  string // of other files
	Size   int64  // of other files
}

// Finding is a problem that a check found.
type Finding struct {
	Severity string // "error" or "warning"
	Path     string
	Reason   string
}

// check refuses duplicate objects, invalid indexes, and chains that run in circles.
func (r *Report) check() error {
	n := len(r.Objects)
	object := func(i int) bool { return i >= 0 && i < n }
	if slices.ContainsFunc(r.Roots, func(i int) bool { return !object(i) }) {
		return fmt.Errorf("roots %v: there are %d objects", r.Roots, n)
	}
	seen := make(map[string]bool, n)
	for i, o := range r.Objects {
		if seen[o.Path] {
			return fmt.Errorf("object %q occurs twice", o.Path)
		}
		seen[o.Path] = true
		for _, j := range append(slices.Clone(o.References), o.Predecessor, o.Dominator) {
			if j != None && !object(j) || j == i {
				return fmt.Errorf("object %q: %d is not another object", o.Path, j)
			}
		}
		if slices.Contains(o.References, None) {
			return fmt.Errorf("object %q refers to nothing", o.Path)
		}
	}
	for _, next := range []func(Object) int{
		func(o Object) int { return o.Predecessor },
		func(o Object) int { return o.Dominator },
	} {
		ends := make([]bool, n)
		for i := range r.Objects {
			steps := 0
			for j := i; j != None && !ends[j]; j = next(r.Objects[j]) {
				if steps++; steps > n {
					return fmt.Errorf("object %q: its chain runs in a circle", r.Objects[i].Path)
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
	return r.checkPrevious()
}

// checkPrevious refuses invalid indexes.
func (r *Report) checkPrevious() error {
	if r.Previous == nil {
		return nil
	}
	seen := make(map[int]bool)
	for _, l := range r.Previous.Layers {
		if l.Now != None && (l.Now < 0 || l.Now >= len(r.Layers) || seen[l.Now]) {
			return fmt.Errorf("previous %s: %d is not the only such layer", l.Title, l.Now)
		}
		seen[l.Now] = true
	}
	was := make(map[string]bool)
	for _, o := range r.Previous.Objects {
		was[o.Path] = true
	}
	for _, i := range r.Previous.Altered {
		if i < 0 || i >= len(r.Objects) || !was[r.Objects[i].Path] {
			return fmt.Errorf("altered object %d is not in both images", i)
		}
	}
	return nil
}

// total returns the bytes of all objects.
func (r *Report) total() (sum int64) {
	for _, o := range r.Objects {
		sum += o.Size
	}
	return sum
}

// exclusive returns for each object the bytes that would leave with it: its own, and those of all objects that it dominates.
func (r *Report) exclusive() []int64 {
	sum := make([]int64, len(r.Objects))
	pending := make([]int, len(r.Objects)) // dominated objects that are not yet in the sum
	for i, o := range r.Objects {
		sum[i] = o.Size
		if o.Dominator != None {
			pending[o.Dominator]++
		}
	}
	var done []int
	for i, n := range pending {
		if n == 0 {
			done = append(done, i)
		}
	}
	for len(done) > 0 {
		i := done[len(done)-1]
		done = done[:len(done)-1]
		d := r.Objects[i].Dominator
		if d == None {
			continue
		}
		sum[d] += sum[i]
		if pending[d]--; pending[d] == 0 {
			done = append(done, d)
		}
	}
	return sum
}

// layerOf returns for each object the layer that shows it, or None.
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

// isNew reports for each object whether the previous image lacks it. Without a previous image, no object is new.
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

// size formats a number of bytes as Nix does: in KiB or a larger unit.
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

// signed formats a difference of sizes with its sign.
func signed(n int64) string {
	switch {
	case n == 0:
		return "±0"
	case n > 0:
		return "+" + size(n)
	}
	return size(n)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %s", n, noun+"s")
}
