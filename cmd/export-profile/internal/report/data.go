package report

import (
	"encoding/json"
	"io"
)

// data is the input of the script. web/src/model.js documents how the script extends it.
type data struct {
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
	d := data{Roots: append([]int{}, r.Roots...), Objects: []dataObject{}, Layers: []dataLayer{}}
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

// writeData writes JSON that is safe inside a script element: encoding/json escapes <, >, &, U+2028 and U+2029.
func (r *Report) writeData(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(true)
	return e.Encode(r.data())
}
