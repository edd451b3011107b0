package report

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/export-profile/export-profile/rootfs"
)

// data holds the facts that the charts are drawn from.
type data struct {
	storeDir rootfs.StoreDir

	Roots   []int        `json:"roots"`
	Objects []dataObject `json:"objects"`
	Layers  []dataLayer  `json:"layers"`
}

type dataObject struct {
	Path       string `json:"path"`
	Name       string `json:"name"`
	Size       int64  `json:"size"`
	Closure    int64  `json:"closure"`
	Exclusive  int64  `json:"exclusive"`
	References []int  `json:"references"`
	Before     int    `json:"before"`
	Dominator  int    `json:"dominator"`
	Layer      int    `json:"layer"`
	New        bool   `json:"new,omitempty"`
}

type dataLayer struct {
	Title string     `json:"title"`
	State State      `json:"state,omitempty"`
	Parts []dataPart `json:"parts"`
}

type dataPart struct {
	Object *int   `json:"object,omitempty"`
	Title  string `json:"title,omitempty"`
	Size   int64  `json:"size,omitempty"`
}

func (r *Report) data() data {
	d := data{storeDir: r.StoreDir, Roots: append([]int{}, r.Roots...), Objects: []dataObject{}, Layers: []dataLayer{}}
	exclusive, layers, isNew := r.exclusive(), r.layerOf(), r.isNew()
	for i, o := range r.Objects {
		d.Objects = append(d.Objects, dataObject{
			printable(o.Path), printable(o.Name), o.Size, o.Closure, exclusive[i],
			append([]int{}, o.References...), o.Predecessor, o.Dominator, layers[i], isNew[i],
		})
	}
	for _, l := range r.Layers {
		row := dataLayer{Title: printable(l.Title), State: l.State, Parts: []dataPart{}}
		for _, p := range l.Parts {
			if p.Object != None {
				row.Parts = append(row.Parts, dataPart{Object: &p.Object})
			} else {
				row.Parts = append(row.Parts, dataPart{Title: printable(p.Title), Size: p.Size})
			}
		}
		d.Layers = append(d.Layers, row)
	}
	return d
}

// columns holds the same facts for the script, with a column for each field of the objects. It is half as long.
// web/src/model.js makes objects of them.
type columns struct {
	StoreDir rootfs.StoreDir `json:"storeDir,omitzero"` // if it is not /nix/store
	Roots    []int           `json:"roots"`
	Objects  dataColumns     `json:"objects"`
	Layers   []dataLayer     `json:"layers"`
}

type dataColumns struct {
	Path       []string       `json:"path"`
	Names      map[int]string `json:"names"` // those that are not the path without its hash
	Size       []int64        `json:"size"`
	Closure    []int64        `json:"closure"`
	Exclusive  []int64        `json:"exclusive"`
	References string         `json:"references"` // base64 of varints: for each object their number, the first, and the distances to the next
	Before     []int          `json:"before"`
	Dominator  []int          `json:"dominator"`
	Layer      []int          `json:"layer"`
	New        []int          `json:"new"`
}

// digestLength counts the characters of the hash and the dash in a base name.
const digestLength = 33

func (d data) columns() columns {
	c := dataColumns{
		Path: []string{}, Names: make(map[int]string), Size: []int64{}, Closure: []int64{}, Exclusive: []int64{},
		Before: []int{}, Dominator: []int{}, Layer: []int{}, New: []int{},
	}
	var references []byte
	for i, o := range d.Objects {
		c.Path = append(c.Path, o.Path)
		if digest := o.Path[:min(digestLength, len(o.Path))]; utf8.RuneCountInString(digest) < digestLength || o.Path[len(digest):] != o.Name {
			c.Names[i] = o.Name
		}
		c.Size, c.Closure, c.Exclusive = append(c.Size, o.Size), append(c.Closure, o.Closure), append(c.Exclusive, o.Exclusive)
		references = binary.AppendUvarint(references, uint64(len(o.References)))
		last := 0
		for _, j := range slices.Sorted(slices.Values(o.References)) {
			references = binary.AppendUvarint(references, uint64(j-last))
			last = j
		}
		c.Before, c.Dominator, c.Layer = append(c.Before, o.Before), append(c.Dominator, o.Dominator), append(c.Layer, o.Layer)
		if o.New {
			c.New = append(c.New, i)
		}
	}
	c.References = base64.StdEncoding.EncodeToString(references)
	return columns{d.storeDir, d.Roots, c, d.Layers}
}

// writeJSON writes JSON that is safe inside a script element: encoding/json escapes <, >, &, U+2028 and U+2029.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(true)
	return e.Encode(v)
}
