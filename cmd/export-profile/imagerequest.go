package main

import (
	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/registry"
)

// request holds the parsed flags of image.
type request struct {
	dest     destination
	mount    *registry.Reference // a repository that may have blobs, or nil
	image    ocilayout.ImageSpec
	layering layering
	boms     []*bom
	budget   budget
	sharing  *shareSettings
}

// request checks the flags and the destination, so that a wrong word fails before anything that takes long.
func (o *imageOptions) request(word string) (r request, err error) {
	if r.dest, err = parseDestination(word, o.tags); err != nil {
		return r, err
	}
	if r.mount, err = o.registryFlags.mount(r.dest); err != nil {
		return r, err
	}
	if r.image, err = o.newImage(); err != nil {
		return r, err
	}
	if r.image.Annotations, err = parsePairs("--annotation", o.annotations); err != nil {
		return r, err
	}
	if r.image.Created, err = parseCreated(o.created); err != nil {
		return r, err
	}
	if r.image.Compression, err = parseCompression(o.compression); err != nil {
		return r, err
	}
	if r.layering, err = o.layerFlags.options(); err != nil {
		return r, err
	}
	if r.boms, err = o.sbomFlags.boms(r.dest); err != nil {
		return r, err
	}
	files := []resultFile{{word, r.dest.place().file()}, {"--digest-file " + o.digestFile, o.digestFile}}
	for _, b := range r.boms {
		files = append(files, resultFile{"--sbom " + b.word, b.file})
	}
	if err := distinct(files...); err != nil {
		return r, err
	}
	if r.budget, err = parseBudget(o.maxSize, ""); err != nil {
		return r, err
	}
	if o.noCache && o.verifyCache {
		return r, usagef("", "--verify-cache compares with the cache, and --no-cache uses none")
	}
	r.sharing, err = o.settings(&o.cacheFlags)
	return r, err
}
