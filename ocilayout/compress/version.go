package compress

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/export-profile/export-profile/ocilayout/chunked"
)

// The module of the compressors, and its version in go.mod.
// Another version may make other bytes, so caches treat it as another compressor.
const (
	compressModule  = "github.com/klauspost/compress"
	compressVersion = "v1.20.3"
)

// Version returns the version of the compressors' module that this program was linked with.
// It is "" if the module was replaced by a directory, whose contents are unknown.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return compressVersion
	}
	for _, m := range info.Deps {
		if m.Path != compressModule {
			continue
		}
		if m.Replace != nil {
			if m = m.Replace; m.Version != "" {
				return m.Path + " " + m.Version
			}
		}
		return m.Version
	}
	return compressVersion // test binaries have no build information
}

// Identity names everything that decides the blob of a tar, for a version of the compressors' module:
// with equal identities, equal tars become equal blobs. It fails if that depends on a version that is unknown.
func (m Method) Identity(version string) (string, error) {
	switch {
	case m.algorithm == algorithmNone:
		return m.String(), nil
	case version == "":
		return "", errors.New("the compressor's version is unknown")
	}
	if m.algorithm == algorithmZstdChunked {
		return fmt.Sprintf("%v, compress %s, blocks %d, chunks %d", m, version, blockFormat, chunked.FormatVersion), nil
	}
	return fmt.Sprintf("%v, compress %s, blocks %d", m, version, blockFormat), nil
}
