package main

import (
	"fmt"
	"path/filepath"
)

// cacheCompressions are those of cache.nixos.org and of most other binary caches.
var cacheCompressions = []string{"xz", "zstd"}

// binaryCache makes a binary cache of the closure.
func (l *lab) binaryCache(compression string) (url string, err error) {
	dir := l.path("cache-" + compression)
	return "file://" + dir, l.prepared("a binary cache with "+compression, func() error {
		profile, err := filepath.EvalSymlinks(l.base.profile)
		if err != nil {
			return err
		}
		_, err = l.output("nix", "copy", "--to", fmt.Sprintf("file://%s?compression=%s", dir, compression), profile)
		return err
	})
}

// fromBinaryCache makes an image from a binary cache.
func (l *lab) fromBinaryCache(of, compression string) (sample, error) {
	url, err := l.binaryCache(of)
	if err != nil {
		return sample{}, err
	}
	profile, err := filepath.EvalSymlinks(l.base.profile)
	if err != nil {
		return sample{}, err
	}
	s, err := l.run(l.image(profile, l.path("out"), "--from", url, "--compression", compression, "--cache", l.path("cache"))...)
	return withSize(s, err, l.path("out/blobs"))
}

// nixCopy copies the closure from a binary cache into an empty store.
func (l *lab) nixCopy(of string) (sample, error) {
	url, err := l.binaryCache(of)
	if err != nil {
		return sample{}, err
	}
	profile, err := filepath.EvalSymlinks(l.base.profile)
	if err != nil {
		return sample{}, err
	}
	s, err := l.run("nix", "copy", "--no-check-sigs", "--from", url, "--to", "local?root="+l.path("out"), profile)
	return withSize(s, err, l.path("out/nix/store"))
}
