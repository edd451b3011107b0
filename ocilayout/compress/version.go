package compress

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// The module of the compressors, and its version in go.mod.
// Another version may make other bytes, and is another compressor for a cache.
const (
	compressModule  = "github.com/klauspost/compress"
	compressVersion = "v1.20.3"
)

// Version is the version of the compressors' module that this program was linked with,
// or "" if that is a directory, in which there can be anything.
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
	return compressVersion // a test's program does not say
}

// Identity is all that makes a difference to what is made of a tar, with a version of the compressors' module:
// where it is equal, equal tars become equal blobs. It is an error if it depends on a version that is not known.
func (m Method) Identity(version string) (string, error) {
	switch {
	case m.algorithm == algorithmNone:
		return m.String(), nil
	case version == "":
		return "", errors.New("the version of the compressor is not known")
	}
	return fmt.Sprintf("%v, compress %s, blocks %d", m, version, blockFormat), nil
}
