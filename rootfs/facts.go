package rootfs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/export-profile/export-profile/rootfs/internal/codec"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// Facts remembers from run to run what is known about parts, by their keys: for example the listings and first bytes
// that a [View] has read, and the base files of a whole closure.
// With them, a run makes the base files of a known closure without reading any of it.
// Each fact comes from a complete walk. If the part was unproven, that walk read all contents.
//
// Each fact is a file that appears when it is complete, and ends with its hash.
// Facts are only a shortcut: a damaged fact counts as none, and a run does not fail if it cannot keep one.
// They may be deleted at any time.
// The zero value, and a nil pointer, remember nothing.
type Facts struct {
	Dir string // the directory of the files; the first fact makes it

	// Ask, if not nil, returns a fact that Dir lacks, such as one that another machine shares, or nil.
	// The fact is the content of its file. Facts checks its hash, but trusts what it says.
	// The name is a hash and the kind, without a slash.
	Ask func(name string) []byte
	// Tell, if not nil, receives each fact that is used or kept, except those from Ask.
	Tell func(name string, fact []byte)
}

// factsVersion begins every fact. A change of the format changes it.
const factsVersion = "export-profile facts 2\n"

// touchEvery is the precision of a fact's modification time, which tells RemoveUnused when it was last used.
const touchEvery = time.Hour

// maxFact limits the facts that Load reads. The listing of some hundred thousand files fits.
const maxFact = 64 << 20

// maxKept limits the facts that Keep writes.
const maxKept = maxFact / 2

// Load returns the fact of that kind about the parts with that key, or nil.
// Facts does not know the form of a fact. A change of its form must change its kind.
func (f *Facts) Load(kind, key string) []byte {
	name := f.path(kind, key)
	if name == "" {
		return nil
	}
	b := readFact(name)
	if body := factBody(b); body != nil {
		f.tell(name, b)
		return body
	}
	if f.Ask == nil {
		return nil
	}
	b = f.Ask(filepath.Base(name))
	body := factBody(b)
	if body != nil {
		f.write(name, b)
	}
	return body
}

// readFact reads a fact's file, and returns nil if it cannot.
func readFact(name string) []byte {
	fi, err := os.Lstat(name)
	if err != nil || !fi.Mode().IsRegular() || fi.Size() > maxFact {
		return nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	if time.Since(fi.ModTime()) > touchEvery {
		_ = os.Chtimes(name, time.Time{}, time.Now()) // for RemoveUnused
	}
	return b
}

// factBody returns the fact in a file, or nil if the file is damaged.
func factBody(b []byte) []byte {
	body := len(b) - sha256.Size
	if body < len(factsVersion) || !bytes.HasPrefix(b, []byte(factsVersion)) {
		return nil
	}
	if sum := sha256.Sum256(b[:body]); !bytes.Equal(sum[:], b[body:]) {
		return nil
	}
	return b[len(factsVersion):body]
}

func (f *Facts) tell(name string, b []byte) {
	if f.Tell != nil {
		f.Tell(filepath.Base(name), b)
	}
}

// Keep remembers a fact, if it can. The kind is a short word.
func (f *Facts) Keep(kind, key string, fact []byte) {
	name := f.path(kind, key)
	if name == "" || len(fact) > maxKept {
		return
	}
	b := append([]byte(factsVersion), fact...)
	sum := sha256.Sum256(b)
	b = append(b, sum[:]...)
	f.write(name, b)
	f.tell(name, b)
}

func (f *Facts) write(name string, b []byte) {
	if os.MkdirAll(f.Dir, 0o755) == nil {
		_ = staging.WriteFile(name, b)
	}
}

// path returns the name of a fact's file, or "" if the key promises nothing or f remembers nothing.
func (f *Facts) path(kind, key string) string {
	digest, ok := strings.CutPrefix(key, "sha256:")
	if _, err := hex.DecodeString(digest); f == nil || f.Dir == "" || !ok || err != nil || len(digest) != 2*sha256.Size {
		return ""
	}
	return filepath.Join(f.Dir, digest+"."+kind)
}

// encodeListing encodes a listing with paths relative to its root, since equal parts may have different roots.
// It returns nil for a listing that is too long to keep: below a deep directory, paths are far longer than names.
func encodeListing(l *EntryMap) []byte {
	var b []byte
	for e := range l.All() {
		b = codec.AppendString(b, strings.TrimPrefix(e.Path, l.base))
		b = codec.AppendNumber(b, uint64(e.Mode))
		b = codec.AppendNumber(b, uint64(e.Size))
		b = codec.AppendString(b, e.Target)
		if len(b) > maxKept {
			return nil
		}
	}
	return b
}

// decodeListing reverses encodeListing. The listing that it returns follows the rules of trees.
func (v *View) decodeListing(root string, b []byte) (*EntryMap, error) {
	d := codec.NewReader(b)
	l := NewEntryMap(root)
	for e, err := range Check(root, func(yield func(Entry, error) bool) {
		for d.More() {
			e := Entry{Path: root + d.String(), Mode: fs.FileMode(d.Number()), Size: int64(d.Number()), Target: d.String()}
			if e.IsRegular() {
				e.Open = func() (io.ReadCloser, error) { return nil, fs.ErrInvalid } // Check wants one
			}
			if !yield(e, d.Err()) {
				return
			}
		}
	}) {
		if err == nil {
			err = v.add(l, e)
		}
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}

// encodeHeads encodes the first bytes of files of a part, by their paths relative to its root.
func encodeHeads(heads map[string][]byte) []byte {
	var b []byte
	for _, path := range slices.Sorted(maps.Keys(heads)) {
		b = codec.AppendString(codec.AppendString(b, path), string(heads[path]))
	}
	return b
}

// decodeHeads reverses encodeHeads. It returns an empty map for a damaged fact.
func decodeHeads(b []byte) map[string][]byte {
	heads := make(map[string][]byte)
	for d := codec.NewReader(b); d.More(); {
		path, head := d.String(), d.String()
		if d.Err() != nil {
			return make(map[string][]byte)
		}
		heads[path] = []byte(head)
	}
	return heads
}
