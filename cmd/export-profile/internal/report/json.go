package report

import (
	"fmt"
	"io"
)

// WriteJSON writes what the page is made of, with one JSON object for each store object.
func WriteJSON(w io.Writer, r *Report) error {
	err := r.check()
	if err == nil {
		err = writeJSON(w, facets{newDataImage(r.Image), r.dataPrevious(), r.dataLicences(), r.data()})
	}
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// facets is the JSON of a report: the data of the charts, and what only the tables have.
type facets struct {
	Image    dataImage     `json:"image"`
	Previous *dataPrevious `json:"previous,omitempty"`
	Licences []dataLicence `json:"licences,omitempty"`

	data
}

type dataImage struct {
	Name      string       `json:"name,omitempty"`
	Digest    string       `json:"digest,omitempty"`
	Index     string       `json:"index,omitempty"`
	Created   string       `json:"created,omitempty"`
	Platforms []string     `json:"platforms,omitempty"`
	Blobs     int64        `json:"blobBytes,omitempty"`
	Unpacked  int64        `json:"unpackedBytes,omitempty"`
	Layers    int          `json:"layers"`
	Paths     int          `json:"paths"`
	Base      string       `json:"base,omitempty"`
	Profiles  []string     `json:"profiles,omitempty"`
	Source    string       `json:"source,omitempty"`
	Signers   []dataSigner `json:"signers,omitempty"`
}

type dataSigner struct {
	Key      string `json:"key"`
	Of       string `json:"of"`
	Verified bool   `json:"verified"`
}

func newDataImage(i Image) dataImage {
	d := dataImage{printable(i.Name), printable(i.Digest), printable(i.Index), printable(i.Created), printables(i.Platforms), i.Blobs, i.Unpacked, i.Layers, i.Paths,
		printable(i.Base), printables(i.Profiles), printable(i.Source), nil}
	for _, s := range i.Signers {
		d.Signers = append(d.Signers, dataSigner{printable(s.Key), printable(s.Of), s.Verified})
	}
	return d
}

func printables(all []string) (some []string) {
	for _, s := range all {
		some = append(some, printable(s))
	}
	return some
}

type dataPrevious struct {
	Image    dataImage     `json:"image"`
	Fetch    dataFetch     `json:"fetch"`
	Layers   []dataPair    `json:"layers"`
	Packages []dataChange  `json:"packages"`
	Paths    []dataChanged `json:"paths"`
}

type dataFetch struct {
	Layers        int64        `json:"layerBytes"`
	Had           int64        `json:"hadBytes"`
	Unbuilt       int          `json:"unbuiltLayers,omitempty"`
	Unpacked      int64        `json:"unbuiltBytes,omitempty"`
	Chunks        *FetchChunks `json:"chunks,omitempty"`
	ChunksUnknown string       `json:"chunksUnknown,omitempty"`
}

// dataPair is a row of the layers side by side.
type dataPair struct {
	What   string `json:"what"` // same, replaced, new or gone
	Before string `json:"before,omitempty"`
	Now    string `json:"now,omitempty"`
}

type dataChange struct {
	Package string   `json:"package"`
	What    string   `json:"what"` // added, removed, changed or rebuilt
	Removed []string `json:"removedVersions,omitempty"`
	Added   []string `json:"addedVersions,omitempty"`
	Before  int64    `json:"bytesBefore"`
	After   int64    `json:"bytesAfter"`
}

type dataChanged struct {
	What       string `json:"what"` // added, removed, updated, rebuilt or altered
	Before     string `json:"before,omitempty"`
	Now        string `json:"now,omitempty"`
	SizeBefore int64  `json:"bytesBefore"`
	SizeNow    int64  `json:"bytesNow"`
}

func (r *Report) dataPrevious() *dataPrevious {
	p := r.Previous
	if p == nil {
		return nil
	}
	f := p.Fetch
	d := &dataPrevious{
		Image: newDataImage(p.Image), Fetch: dataFetch{f.Layers, f.Had, f.Unbuilt, f.Unpacked, f.Chunks, printable(f.ChunksUnknown)},
		Layers: []dataPair{}, Packages: []dataChange{}, Paths: []dataChanged{},
	}
	for _, pair := range r.pairLayers() {
		row := dataPair{What: pair.what}
		if pair.before != None {
			row.Before = printable(p.Layers[pair.before].Title)
		}
		if pair.now != None {
			row.Now = printable(r.Layers[pair.now].Title)
		}
		d.Layers = append(d.Layers, row)
	}
	for _, c := range p.Changes {
		d.Packages = append(d.Packages, dataChange{printable(c.Package), c.what(), printables(c.Removed), printables(c.Added), c.Before, c.After})
	}
	for _, c := range r.pathChanges() {
		row := dataChanged{What: c.what}
		if row.SizeBefore, row.SizeNow = c.sizes(); c.before != nil {
			row.Before = printable(c.before.Path)
		}
		if c.now != nil {
			row.Now = printable(c.now.Path)
		}
		d.Paths = append(d.Paths, row)
	}
	return d
}

type dataLicence struct {
	Licence string `json:"licence,omitempty"` // absent if it is unknown
	Bytes   int64  `json:"bytes"`
	Objects []int  `json:"objects"`
}

func (r *Report) dataLicences() (all []dataLicence) {
	if r.Licensed {
		for _, l := range r.byLicence() {
			all = append(all, dataLicence{printable(l.name), l.bytes, l.objects})
		}
	}
	return all
}
