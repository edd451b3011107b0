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

// Facts remembers what was found out about parts, by their keys, from run to run:
// the listings and first bytes that a [View] has looked at, and the base files of a whole closure.
// Each comes from a walk that has come to its end, of unproven parts with all contents read.
// With them, nothing of a known closure is read again to make its base files.
//
// A fact is a file of its own, which appears when it is whole, and ends with its hash.
// Whatever is odd about one is as good as none: facts are only ever a shortcut,
// and errors while they are kept make no difference to a run.
// The zero value, and a nil pointer, remember nothing.
//
// Facts may be deleted at any time. A change of their format changes factsVersion.
type Facts struct {
	Dir string // made when the first fact is kept

	// Ask, if not nil, is asked for a fact that is not in Dir, as it would be there: what several machines share.
	// Whoever answers vouches for it. The name is a hash and the kind, without a slash.
	Ask func(name string) []byte
	// Tell, if not nil, is told of each fact that is used or kept, unless Ask gave it.
	Tell func(name string, fact []byte)
}

// factsVersion begins every fact.
const factsVersion = "export-profile facts 2\n"

// touchEvery is how exactly it is known when a fact was last used, for RemoveUnused.
const touchEvery = time.Hour

// maxFact is the largest fact that is read: the listing of some hundred thousand files.
const maxFact = 64 << 20

// maxKept is the largest fact that is kept.
const maxKept = maxFact / 2

// Load is what was kept of that kind about what a key promises, or nil.
// Whoever keeps a fact knows its form; a change of the form is another kind.
func (f *Facts) Load(kind, key string) []byte {
	name := f.place(kind, key)
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

// readFact reads a fact's file, or nothing.
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
		_ = os.Chtimes(name, time.Time{}, time.Now()) // when it was last used
	}
	return b
}

// factBody is what a file says, or nil if that is odd.
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

// Keep remembers a fact of that kind, a short word, if it can.
func (f *Facts) Keep(kind, key string, fact []byte) {
	name := f.place(kind, key)
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

// place is the file of a fact, or "" if there is none.
func (f *Facts) place(kind, key string) string {
	digest, ok := strings.CutPrefix(key, "sha256:")
	if _, err := hex.DecodeString(digest); f == nil || f.Dir == "" || !ok || err != nil || len(digest) != 2*sha256.Size {
		return ""
	}
	return filepath.Join(f.Dir, digest+"."+kind)
}

// encodeListing spells a listing with paths relative to its root, since equal parts may have different ones.
// It is nil for one that is too long to be kept: below a deep directory, paths have far more bytes than names.
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

// decodeListing is the inverse of encodeListing. What it returns follows the rules of trees.
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

// encodeHeads spells the first bytes of files of a part, by their paths relative to its root.
func encodeHeads(heads map[string][]byte) []byte {
	var b []byte
	for _, path := range slices.Sorted(maps.Keys(heads)) {
		b = codec.AppendString(codec.AppendString(b, path), string(heads[path]))
	}
	return b
}

// decodeHeads is the inverse of encodeHeads, and empty for an odd fact.
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
