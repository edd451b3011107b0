package main

import (
	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/registry"
)

// request is what the flags of image ask for, before anything is opened.
type request struct {
	dest     destination
	mount    *registry.Reference // a repository that may have blobs, or nil
	image    ocilayout.ImageSpec
	layering layering
	docs     []*document
	budget   budget
	sharing  *shareSettings
}

// read checks all that flags and destination say by themselves, so that nothing long is begun for a wrong word.
func (o *imageOptions) read(word string) (r request, err error) {
	if r.dest, err = parseDestination(word, o.tags); err != nil {
		return r, err
	}
	if r.mount, err = o.registryFlags.mount(r.dest); err != nil {
		return r, err
	}
	if r.image, err = o.image(); err != nil {
		return r, err
	}
	if r.layering, err = o.layerFlags.options(); err != nil {
		return r, err
	}
	if r.docs, err = o.sbomFlags.documents(r.dest); err != nil {
		return r, err
	}
	files := []resultFile{{word, r.dest.place().file()}, {"--digest-file " + o.digestFile, o.digestFile}}
	for _, d := range r.docs {
		files = append(files, resultFile{"--sbom " + d.word, d.file})
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

// image is what the flags alone say of it.
func (o *imageOptions) image() (ocilayout.ImageSpec, error) {
	image, err := o.imageConfig.image()
	if err != nil {
		return image, err
	}
	if image.Annotations, err = parsePairs("--annotation", o.annotations); err != nil {
		return image, err
	}
	if image.Created, err = parseCreated(o.created); err != nil {
		return image, err
	}
	image.Compression, err = parseCompression(o.compression)
	return image, err
}
