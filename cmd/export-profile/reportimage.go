package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/export-profile/export-profile/cmd/export-profile/internal/report"
	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/sbom"
)

// reportedImage is an existing image that a page is about.
type reportedImage struct {
	side
	title  string
	store  *imageStore
	facts  report.Image
	claims []*history.Claim // of its layers; nil for those of other programs
	parts  map[int][]string // by layer, the base names of the objects that it shows
}

// openReported reads an image and finds its store paths with their references.
func (o *reportOptions) openReported(ctx context.Context, t terminal, say *speaker, word string) (_ *reportedImage, err error) {
	in := o.opener(say, t.in, &o.registryFlags)
	defer func() {
		if err != nil {
			say.closing(&err, in)
		}
	}()
	found, image, err := in.findImage(ctx, o.platform, word)
	if err != nil {
		return nil, err
	}
	dir, err := o.dir()
	if err != nil {
		return nil, err
	}
	if dir != nil {
		image.AssumeStoreDir(*dir)
	}
	store, err := readImageStore(ctx, say, image, in, o.facts())
	if err != nil {
		return nil, err
	}
	r := &reportedImage{side: side{word: word, image: image, close: store.Close}, title: imageTitle(word), store: store, claims: image.LayerClaims(),
		parts: make(map[int][]string)}
	for _, p := range store.paths {
		info, err := store.Info(ctx, p)
		if err != nil {
			return nil, err
		}
		r.infos = append(r.infos, info)
		n := store.objects[p].Layer
		r.parts[n] = append(r.parts[n], p.Base())
	}
	r.facts = report.Image{
		Name: r.title, Digest: image.Digest.String(), Platforms: []string{platformName(image.Config.Platform)},
		Layers: len(image.Layers), Paths: len(r.infos), Base: foreignBase(r.claims), Unpacked: r.narSize(),
	}
	if found.Descriptor.Digest != image.Digest {
		r.facts.Index = found.Descriptor.Digest.String()
	}
	if created := image.Config.Created; created != nil {
		r.facts.Created = created.UTC().Format(time.RFC3339)
	}
	for _, size := range image.Blobs() {
		r.facts.Blobs += size
	}
	for _, c := range r.claims {
		r.facts.Unpacked += besideBytes(c)
	}
	r.facts.Signers, err = in.statementSigners(ctx, say, word, found, image)
	return r, err
}

// imageTitle names an image for people elsewhere: without its transport, and without the directories of a layout or archive on this machine.
func imageTitle(word string) string {
	k, rest, _ := transportOf(word)
	if k.remote {
		return rest
	}
	return path.Base(strings.TrimRight(rest, "/"))
}

// foreignBase describes the layers of another program below those of this one.
func foreignBase(claims []*history.Claim) string {
	n := 0
	for n < len(claims) && claims[n] == nil {
		n++
	}
	if n == 0 || n == len(claims) {
		return ""
	}
	return fmt.Sprintf("%s that another program made", count(n, "layer"))
}

// besideBytes returns the bytes of a layer's files beside the store. They are unknown for layers of other programs.
func besideBytes(c *history.Claim) (sum int64) {
	if c != nil {
		for _, o := range c.Objects {
			if profile.CheckBase(o.Name) != nil {
				sum += o.Size
			}
		}
	}
	return sum
}

// report returns what a page says of the image.
func (i *reportedImage) report(ctx context.Context, say *speaker, metadata sbom.Metadata) (*report.Report, numbering, error) {
	roots, err := i.store.roots(ctx)
	if err != nil {
		return nil, nil, err
	}
	closure, err := profile.FindClosure(ctx, i.store, roots...)
	if err != nil {
		return nil, nil, err
	}
	noteUnmatched(metadata, closure, say)
	r, number := newReport(closure, metadata)
	r.Title, r.Image = i.title, i.facts
	for n, l := range i.image.Layers {
		row := report.Layer{Title: fmt.Sprintf("layer %d", n+1), Blob: l.Descriptor.Size}
		shown := make(map[string]bool)
		for _, name := range i.parts[n] {
			row.Parts = append(row.Parts, report.Part{Object: number(name)})
			shown[name] = true
		}
		if c := i.claims[n]; c != nil {
			if bytes := besideBytes(c); bytes > 0 || len(row.Parts) == 0 {
				row.Parts = append(row.Parts, report.Part{Object: report.None, Title: besideStore, Size: bytes})
			}
			for _, name := range goneOf(*c, shown) {
				if profile.CheckBase(name) == nil {
					row.Gone = append(row.Gone, name)
				}
			}
			for _, name := range c.Hidden {
				row.Hides = append(row.Hides, strings.TrimPrefix(c.StoreDir.String(), "/")+"/"+name)
			}
		}
		r.Layers = append(r.Layers, row)
	}
	return r, number, nil
}

// since compares the page's image with a previous one, and fills in which layers are new.
func (i *reportedImage) since(ctx context.Context, previous *reportedImage, r *report.Report, number numbering) error {
	p := &report.Previous{Image: previous.facts}
	setChanges(p, &previous.side, &i.side, number)
	now := make(map[string][]int) // layers of the new image by digest
	for n, l := range i.image.Layers {
		now[l.Descriptor.Digest.String()] = append(now[l.Descriptor.Digest.String()], n)
		r.Layers[n].State = report.StateNew
	}
	is := make(map[string]bool)
	for _, info := range i.infos {
		is[info.Path.Base()] = true
	}
	for n, l := range previous.image.Layers {
		row := report.PreviousLayer{Title: fmt.Sprintf("layer %d", n+1), Blob: l.Descriptor.Size, Now: report.None}
		if c := previous.claims[n]; c != nil {
			row = previousLayer(n, l.Descriptor.Size, *c, is)
		} else {
			row.Parts = previous.parts[n]
		}
		digest := l.Descriptor.Digest.String()
		if same := now[digest]; len(same) > 0 {
			row.Now, row.Moved, now[digest] = same[0], nil, same[1:]
			r.Layers[row.Now].State = report.StateKept
		}
		p.Layers = append(p.Layers, row)
	}
	p.Fetch.Layers, p.Fetch.Had = previous.image.Fetch(i.image)
	f, err := previous.image.FetchChunks(ctx, i.image)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	switch {
	case err != nil:
		p.Fetch.ChunksUnknown = withoutDir(err)
	case f != nil:
		p.Fetch.Chunks = &report.FetchChunks{Contents: f.Contents, Tables: f.Tables, Whole: f.Whole, Ranges: f.Ranges}
	}
	r.Previous = p
	return nil
}

// withoutDir returns the text of an error for people elsewhere: without the directory of the file on this machine that it is about.
func withoutDir(err error) string {
	var file *fs.PathError
	if !errors.As(err, &file) {
		return err.Error()
	}
	return strings.ReplaceAll(err.Error(), file.Path, path.Base(file.Path))
}
