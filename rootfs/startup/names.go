package startup

import (
	"bytes"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

const (
	digestLen         = 32
	maxBase           = digestLen + 1 + 211 // limit of a store object's base name
	maxNamesPerSource = 50_000              // limit of different names in one source
)

// findNames collects the names of store objects in r.
func (c *contents) findNames(store rootfs.StoreDir, e rootfs.Entry, r *strings.Reader) {
	f := c.nameFinder(store, e)
	_, _ = r.WriteTo(f)
	f.end()
}

// nameFinder returns a finder of the names in an entry.
func (c *contents) nameFinder(store rootfs.StoreDir, e rootfs.Entry) *nameFinder {
	return &nameFinder{prefix: store.String() + "/", found: func(base string) { c.addName(base, e.Path) }}
}

func (c *contents) addName(base, path string) {
	if _, ok := c.Names[base]; !ok && len(c.Names) < maxNamesPerSource {
		c.Names[base] = storeNaming{path}
	}
}

// nameFinder is a writer that finds /nix/store/<digest>-<name> in a stream, also across writes. The store directory may be another one.
type nameFinder struct {
	prefix string // the store directory and a slash
	found  func(base string)
	buf    []byte // possible beginning of a name
}

// Write implements io.Writer. It never fails.
func (f *nameFinder) Write(p []byte) (int, error) {
	f.buf = append(f.buf, p...)
	f.scan(false)
	return len(p), nil
}

// end finishes the stream.
func (f *nameFinder) end() { f.scan(true) }

func (f *nameFinder) scan(last bool) {
	f.buf = append(f.buf[:0], f.find(f.buf, last)...)
}

// find calls found with each name in b. It returns the end of b, in which a name may begin that goes on behind b.
// If nothing follows b, last is true.
func (f *nameFinder) find(b []byte, last bool) (rest []byte) {
	for {
		i := bytes.Index(b, []byte(f.prefix))
		if i < 0 {
			return b[max(0, len(b)-len(f.prefix)+1):]
		}
		b = b[i:]
		if len(b) < len(f.prefix)+maxBase && !last {
			return b
		}
		b = b[len(f.prefix):]
		if base := baseName(b); base != "" {
			f.found(base)
		}
	}
}

// baseName returns the base name of a store object at the beginning of b, or "".
func baseName(b []byte) string {
	if len(b) < digestLen+2 || b[digestLen] != '-' {
		return ""
	}
	for _, c := range b[:digestLen] {
		if strings.IndexByte("0123456789abcdfghijklmnpqrsvwxyz", c) < 0 {
			return ""
		}
	}
	end := digestLen + 1
	for end < len(b) && end < maxBase && isNameByte(b[end]) {
		end++
	}
	if end == digestLen+1 {
		return ""
	}
	return string(b[:end])
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("+-._?=", c) >= 0
}
