package main

import (
	"crypto/tls"
	"errors"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/ocilayout/registry"
	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/exportstore"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/profile/scan"
	"github.com/export-profile/export-profile/profile/source"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/overlay"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// errorChapter is a kind of error and the chapter of the manual that explains it.
type errorChapter struct {
	kind    func(error) bool
	chapter string
}

// errorChapters is read from the top: the first kind of an error decides. Kinds that only one part of the program returns
// are not here: inChapter says where that part begins.
func errorChapters() []errorChapter {
	return []errorChapter{
		{as[*registry.Error], "registries"},

		{as[*source.LoginError], "binary-caches"},
		{as[*tls.CertificateVerificationError], "binary-caches"},
		{as[tls.RecordHeaderError], "binary-caches"},

		{is(profile.ErrUntrusted), "trust"},

		{as[*scan.PlaceError], "store-directories"},
		{as[*source.StoreDirError], "store-directories"},
		{as[*profile.StoresError], "store-directories"},
		{as[*localstore.OtherDirError], "store-directories"},

		{as[*source.ReferencesError], "tars"},
		{is(profile.ErrUnlisted), "tars"},
		{as[*source.TarError], "tars"},
		{as[*exportstore.FormatError], "streams"},
		{is(profile.ErrEmpty), "streams"},

		{as[*nar.HashError], "trust"},
		{is(profile.ErrNoFiles), "sources"},
		{is(localstore.ErrNoDatabase), "sources"},

		{is(plan.ErrTooManyLayers), "layers"},
		{is(ocilayout.ErrSeveralPlatforms), "platforms"},
		{is(overlay.ErrStoreObject), "files"},
		{is(ocilayout.ErrOtherResult), "local-cache"},
		{is(errNoCacheDir), "local-cache"},
		{as[*staging.SpoolError], "local-cache"},
		{is(rootfs.ErrDirExists), "root-filesystems"},
	}
}

func is(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }

func as[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

// chapterOf returns the chapter of the manual that explains an error, or "". If an error has no kind of its own,
// that is the chapter about what the program was doing. A wrong command line has a chapter only if inChapter names it:
// the help of the command has what is needed.
func chapterOf(err error) string {
	if !as[*usageError](err) {
		for _, row := range errorChapters() {
			if row.kind(err) {
				return row.chapter
			}
		}
	}
	chapter := ""
	for in := (*chapterError)(nil); errors.As(err, &in); err = in.error {
		chapter = in.chapter // the innermost
	}
	return chapter
}

// chapterError is an error and the chapter about what the program was doing.
type chapterError struct {
	error
	chapter string
}

func (e *chapterError) Unwrap() error { return e.error }

// inChapter says which chapter is about what the program was doing; nil stays nil.
func inChapter(chapter string, err error) error {
	if err == nil {
		return nil
	}
	return &chapterError{err, chapter}
}

// inChapter is the function inChapter for what --from names: a store or an image.
func (f *closureFlags) inChapter(err error) error {
	if _, ok, imageErr := f.fromImage(); ok && imageErr == nil {
		return inChapter("contents", err)
	}
	return inChapter("sources", err)
}
