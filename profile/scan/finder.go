package scan

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nix32"
)

// digestLen is the length of a digest.
const digestLen = 32

// isDigit marks the characters of digests.
var isDigit = func() (t [256]bool) {
	for _, c := range []byte(nix32.Alphabet) {
		t[c] = true
	}
	return t
}()

// Index holds the digests to look for. It never changes, so goroutines may share it.
type Index struct {
	dir   profile.StoreDir // of the first candidate
	paths []profile.Path
	ids   map[[digestLen]byte]int32

	// filter has a bit for the first eight characters of each digest.
	// It avoids most lookups of words that only look like digests.
	filter []uint64
	shift  int
}

// NewIndex makes an index of candidates. It fails if two of them have the same digest.
func NewIndex(candidates []profile.Path) (*Index, error) {
	log := max(12, bits.Len(uint(len(candidates)))+5)
	x := &Index{
		ids:    make(map[[digestLen]byte]int32, len(candidates)),
		filter: make([]uint64, 1<<(log-6)),
		shift:  64 - log,
	}
	if len(candidates) > 0 {
		x.dir = candidates[0].StoreDir()
	}
	for _, p := range candidates {
		if err := profile.CheckBase(p.Base()); err != nil {
			return nil, fmt.Errorf("store path %q: %w", p, err)
		}
		digest := [digestLen]byte([]byte(p.Digest()))
		if i, ok := x.ids[digest]; ok {
			if other := x.paths[i]; other != p {
				return nil, fmt.Errorf("store paths %q and %q have the same hash in their names", other, p)
			}
			continue
		}
		x.ids[digest] = int32(len(x.paths))
		x.paths = append(x.paths, p)
		word, bit := x.slot(digest[:])
		x.filter[word] |= bit
	}
	return x, nil
}

// with returns an index that has more candidates, too, except those with the digest of another one.
func (x *Index) with(more []profile.Path) (*Index, error) {
	all := slices.Clone(x.paths)
	seen := make(map[string]bool, len(all)+len(more))
	for _, p := range all {
		seen[p.Digest()] = true
	}
	for _, p := range more {
		if !seen[p.Digest()] {
			seen[p.Digest()] = true
			all = append(all, p)
		}
	}
	return NewIndex(all)
}

// slot returns the position in the filter of the first eight bytes of b.
func (x *Index) slot(b []byte) (word, bit uint64) {
	h := binary.LittleEndian.Uint64(b) * 0x9e3779b97f4a7c15 >> x.shift
	return h >> 6, 1 << (h & 63)
}

// Finder is an io.Writer that finds the digests of an index in its input, even across writes.
type Finder struct {
	index *Index
	found []bool
	tail  []byte // the last bytes written: less than a digest, and what precedes it

	place storePlace
}

// Finder returns a new Finder.
func (x *Index) Finder() *Finder {
	return &Finder{index: x, place: storePlace{dir: x.dir}, found: make([]bool, len(x.paths)), tail: make([]byte, 0, 2*keep)}
}

// Write implements io.Writer. It never fails.
func (f *Finder) Write(p []byte) (int, error) {
	kept := len(f.tail)
	seam := append(f.tail, p[:min(len(p), keep)]...)
	f.scan(seam, max(0, kept-digestLen+1))
	if len(p) >= keep {
		f.scan(p, maxPlace)
		seam = append(seam[:0], p[len(p)-keep:]...)
	} else if kept+len(p) > keep {
		seam = seam[:copy(seam, seam[len(seam)-keep:])]
	}
	f.tail = seam
	return len(p), nil
}

// keep is how many bytes a Finder keeps from one write to the next.
const keep = maxPlace + digestLen - 1

// scan finds the complete digests in b that begin at byte i or later. What precedes byte i is all that storePlace needs.
//
// It checks a window of their length from its end. If it meets a byte that is no digit,
// it moves the window past that byte. So it skips most bytes of a program.
func (f *Finder) scan(b []byte, i int) {
	digits := 0 // at the start of the window, known from the previous one
	for i+digestLen <= len(b) {
		j := i + digestLen - 1
		for j >= i+digits && isDigit[b[j]] {
			j--
		}
		if j >= i+digits {
			digits = i + digestLen - 1 - j
			i = j + 1
			continue
		}
		end := i + digestLen
		for end < len(b) && isDigit[b[end]] {
			end++
		}
		f.lookUp(b, i, end)
		i, digits = end+1, 0
	}
}

// lookUp looks up every possible digest in b[i:end], a run of digits.
func (f *Finder) lookUp(b []byte, i, end int) {
	x := f.index
	for ; i+digestLen <= end; i++ {
		word, bit := x.slot(b[i:])
		if x.filter[word]&bit == 0 {
			continue
		}
		if id, ok := x.ids[[digestLen]byte(b[i:])]; ok {
			f.found[id] = true
			f.place.add(b[:i], x.paths[id])
		}
	}
}

// Found returns the candidates found so far, sorted.
func (f *Finder) Found() []profile.Path {
	var found []profile.Path
	for i, ok := range f.found {
		if ok {
			found = append(found, f.index.paths[i])
		}
	}
	slices.Sort(found)
	return found
}
