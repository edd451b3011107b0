package binarycache

import (
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/storetest"
)

func TestGolden(t *testing.T) {
	cache := golden(t)
	for _, compression := range []string{"xz", "bzip2", "none", "gzip", "br", "lz4", "zstd"} {
		f := cache
		switch compression {
		case "xz":
		case "bzip2": // for which there is no encoder
			f = cacheIn(t, "testdata/bzip2.cache")
		default:
			f = cache.recompressed(t, compression)
		}
		t.Run(compression+" in a directory", func(t *testing.T) {
			s := open(t, f.dir(t), quick())
			if _, ok := s.(profile.Lister); !ok {
				t.Error("a directory does not list its objects")
			}
			storetest.Golden(t, s)
		})
		t.Run(compression+" from a server", func(t *testing.T) {
			s := open(t, serve(t, f), quick())
			if _, ok := s.(profile.Lister); ok {
				t.Error("a server is said to list its objects")
			}
			storetest.Golden(t, s)
		})
	}
}
