package binarycache

import (
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/storetest"
)

// TestGolden checks the golden closure in each compression, in a directory and from a server.
func TestGolden(t *testing.T) {
	cache := golden(t)
	for _, compression := range []string{"xz", "bzip2", "none", "gzip", "br", "lz4", "zstd"} {
		f := cache
		switch compression {
		case "xz":
		case "bzip2": // written by Nix, since Go has no encoder
			f = cacheIn(t, "testdata/bzip2.cache")
		default:
			f = cache.recompressed(t, compression)
		}
		t.Run(compression+" in a directory", func(t *testing.T) {
			s := open(t, f.dir(t), quickOptions())
			if _, ok := s.(profile.Lister); !ok {
				t.Error("a directory is not a profile.Lister")
			}
			storetest.Golden(t, s)
		})
		t.Run(compression+" from a server", func(t *testing.T) {
			s := open(t, serve(t, f), quickOptions())
			if _, ok := s.(profile.Lister); ok {
				t.Error("a server is a profile.Lister")
			}
			storetest.Golden(t, s)
		})
	}
}
