package main

import (
	"github.com/export-profile/export-profile/ocilayout/chunked"
)

// release is what a registry has under the tags of all images of a week.
type release []layer

// totals are the numbers of a strategy in a year.
type totals struct {
	First     int64   // bytes of the first pull
	Weekly    []int64 // for each later week, the bytes that a node pulls that follows every release
	EachWeek  int64   // the sum of these
	Fourth    int64   // bytes of a node that follows every fourth release, after its first pull
	Registry  int64   // bytes of all blobs of the year
	Unused    float64 // in the end, bytes that the layers hold and the images do not show, as a share
	MaxUnused float64 // in the worst week
	MaxLayer  int     // most layers of an image
	EndLayer  int     // most layers of an image of the last week
	Build     int64   // bytes of the objects in all different layers, before compression
	Took      buildTime
}

// fetcher says what a node fetches that holds some layers and lacks others.
type fetcher func(held, lacked []layer) (int64, error)

// wholeLayers is the fetcher of nodes that fetch a layer as a whole.
func wholeLayers(_, lacked []layer) (n int64, err error) {
	for _, l := range lacked {
		n += l.blob.Size
	}
	return n, nil
}

// byChunks is the fetcher of nodes that fetch only the chunks that they lack, with the tables of the layers.
func (b *builder) byChunks(held, lacked []layer) (n int64, err error) {
	if len(lacked) == 0 {
		return 0, nil
	}
	has := &chunked.Inventory{}
	for _, l := range held {
		if l.blob.Tables == (chunked.Location{}) {
			continue
		}
		if err := b.entries(l, has.Add); err != nil {
			return 0, err
		}
	}
	for _, l := range lacked {
		at := l.blob.Tables
		if at == (chunked.Location{}) {
			n += l.blob.Size
			continue
		}
		missing := chunked.NewMissing(has)
		err := b.entries(l, func(e *chunked.Entry) error {
			missing.Add(e)
			return nil
		})
		if err != nil {
			return 0, err
		}
		contents, _ := missing.Finish(at.TOC.Offset)
		n += contents + at.TOC.Length + at.TarSplit.Length
	}
	return n, nil
}

// follow returns what a node pulls in each step that takes every step-th release. A node keeps only the layers of its last release.
func follow(releases []release, step int, fetch fetcher) (pulled []int64, err error) {
	var held release
	for week := 0; week < len(releases); week += step {
		next := distinct(releases[week])
		n, err := fetch(held, without(next, held))
		if err != nil {
			return nil, err
		}
		pulled = append(pulled, n)
		held = next
	}
	return pulled, nil
}

// distinct returns layers without repetitions.
func distinct(layers []layer) []layer {
	seen := make(map[string]bool)
	var all []layer
	for _, l := range layers {
		if !seen[l.id] {
			seen[l.id] = true
			all = append(all, l)
		}
	}
	return all
}

// without returns the layers that are not among others.
func without(layers, others []layer) []layer {
	has := make(map[string]bool)
	for _, l := range others {
		has[l.id] = true
	}
	var rest []layer
	for _, l := range layers {
		if !has[l.id] {
			rest = append(rest, l)
		}
	}
	return rest
}

// account fills in the bytes of a year.
func (t *totals) account(releases []release, fetch fetcher) error {
	weekly, err := follow(releases, 1, fetch)
	if err != nil {
		return err
	}
	fourth, err := follow(releases, 4, fetch)
	if err != nil {
		return err
	}
	t.First, t.Weekly = weekly[0], weekly[1:]
	t.EachWeek, t.Fourth = sum(t.Weekly), sum(fourth[1:])
	seen := make(map[string]bool)
	for _, r := range releases {
		for _, l := range r {
			if !seen[l.id] {
				seen[l.id] = true
				t.Registry += l.blob.Size
				t.Build += l.size()
			}
		}
	}
	return nil
}

func sum(all []int64) (n int64) {
	for _, v := range all {
		n += v
	}
	return n
}
