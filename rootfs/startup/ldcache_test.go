package startup

import (
	"encoding/binary"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ldCache makes a cache in ldconfig's format.
func ldCache(libraries map[string]string) []byte {
	names := slices.Sorted(maps.Keys(libraries))
	b := make([]byte, cacheHeader+len(names)*cacheEntry)
	copy(b, newCacheMagic)
	binary.LittleEndian.PutUint32(b[20:], uint32(len(names)))
	b[28] = 2
	for i, name := range names {
		e := b[cacheHeader+i*cacheEntry:]
		binary.LittleEndian.PutUint32(e[4:], uint32(len(b)))
		b = append(append(b, name...), 0)
		binary.LittleEndian.PutUint32(b[cacheHeader+i*cacheEntry+8:], uint32(len(b)))
		b = append(append(b, libraries[name]...), 0)
	}
	return b
}

func TestParseCache(t *testing.T) {
	libraries := map[string]string{"liba.so": "/a/liba.so", "libb.so.1": "/b/libb.so.1"}
	want := map[string][]string{"liba.so": {"/a/liba.so"}, "libb.so.1": {"/b/libb.so.1"}}
	b := ldCache(libraries)
	if d := cmp.Diff(want, parseCache(b, x86)); d != "" {
		t.Errorf("parseCache (-want +got):\n%s", d)
	}
	old := append([]byte(oldCacheMagic), make([]byte, 4+12+4)...)
	old[12] = 1 // one entry of 12 bytes, and 4 of padding
	if d := cmp.Diff(want, parseCache(append(old, b...), x86)); d != "" {
		t.Errorf("parseCache behind an old cache (-want +got):\n%s", d)
	}
	for size := range len(b) {
		for name, at := range parseCache(b[:size], x86) {
			if !slices.Equal(at, want[name]) {
				t.Errorf("parseCache of the first %d bytes has %q at %q", size, name, at)
			}
		}
	}
	if got := parseCache(b, machine{Big: true}); got != nil {
		t.Errorf("parseCache for another byte order = %q; want none", got)
	}
}

// TestParseRealCache checks that this machine's cache names libraries that exist.
func TestParseRealCache(t *testing.T) {
	b, err := os.ReadFile("/etc/ld.so.cache")
	if err != nil {
		t.Skip("this machine has no library cache")
	}
	libraries := parseCache(b, x86)
	if len(libraries) == 0 {
		t.Skip("this machine's library cache has another format")
	}
	there := 0
	for name, at := range libraries {
		if !strings.HasSuffix(at[0], "/"+name) {
			t.Errorf("%q is %q", name, at)
		}
		if _, err := os.Stat(at[0]); err == nil {
			there++
		}
	}
	if there == 0 {
		t.Errorf("none of %d libraries in the cache exists", len(libraries))
	}
}

func FuzzParseCache(f *testing.F) {
	f.Add(ldCache(map[string]string{"liba.so": "/a/liba.so"}))
	f.Add(append(append([]byte(oldCacheMagic), make([]byte, 20)...), ldCache(nil)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, at := range parseCache(b, x86) {
			if name == "" || !strings.HasPrefix(at[0], "/") {
				t.Errorf("%q is %q", name, at)
			}
		}
	})
}
