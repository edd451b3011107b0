package chunked

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Inventory holds the digests of all files and chunks that a client has, in any layer with tables.
//
// Its memory grows with them: 33 bytes for each different digest, and up to 80 with the free places of the map.
type Inventory struct {
	sums map[[sha256.Size]byte]bool // whether it is the digest of a whole file
}

// MaxInventory limits the digests in an Inventory.
const MaxInventory = 1 << 22

// Add adds the digests of an entry of a TOC.
func (v *Inventory) Add(e *Entry) error {
	if v.sums == nil {
		v.sums = make(map[[sha256.Size]byte]bool)
	}
	if sum, ok := parseSum(e.ChunkDigest); ok && !v.sums[sum] {
		v.sums[sum] = false
	}
	if sum, ok := parseSum(e.Digest); ok {
		v.sums[sum] = true
	}
	if len(v.sums) > MaxInventory {
		return fmt.Errorf("more than %d different files and chunks", MaxInventory)
	}
	return nil
}

func (v *Inventory) hasFile(digest string) bool {
	sum, ok := parseSum(digest)
	return ok && v.sums[sum]
}

// hasChunk reports whether a chunk is known, also as a whole file.
func (v *Inventory) hasChunk(digest string) (known bool) {
	sum, ok := parseSum(digest)
	if ok {
		_, known = v.sums[sum]
	}
	return known
}

func parseSum(digest string) (sum [sha256.Size]byte, ok bool) {
	digits, ok := strings.CutPrefix(digest, "sha256:")
	if !ok || len(digits) != hex.EncodedLen(len(sum)) {
		return sum, false
	}
	_, err := hex.Decode(sum[:], []byte(digits))
	return sum, err == nil
}

// Missing finds the ranges of a layer's blob that a client with an inventory requests.
// It takes the entries of the layer's TOC in their order.
//
// It counts as podman does. If the client has a file, by its digest, it requests nothing of it.
// Otherwise it requests each chunk that it lacks, up to where the next chunk of the file begins.
// A chunk that occurs twice in the layer counts twice. See [Missing.Finish] for the gaps between.
type Missing struct {
	has   *Inventory
	spans []byteRange // missing ones, in order; no two touch
	bytes int64       // of the spans

	skip bool      // the client has the current file, or it is empty
	next byteRange // the last chunk, whose end may be unknown
	lack bool      // whether the client lacks the last chunk
}

type byteRange struct{ begin, end int64 }

// NewMissing returns a Missing for a client that has all that is in v, which may be nil.
func NewMissing(v *Inventory) *Missing {
	if v == nil {
		v = &Inventory{}
	}
	return &Missing{has: v}
}

// Add takes the next entry.
func (m *Missing) Add(e *Entry) {
	switch {
	case e.Type == TypeChunk:
		m.next.end = e.Offset
		m.flush()
	case e.Type == TypeFile && e.Size > 0:
		m.endBefore(e.Offset)
		m.skip = m.has.hasFile(e.Digest)
	default:
		return
	}
	m.next = byteRange{e.Offset, e.EndOffset}
	m.lack = !m.skip && e.ChunkType != chunkZeros && !m.has.hasChunk(e.ChunkDigest)
}

// endBefore ends the last chunk, at offset unless it has an end.
func (m *Missing) endBefore(offset int64) {
	if m.next.end == 0 {
		m.next.end = offset
	}
	m.flush()
}

func (m *Missing) flush() {
	r := m.next
	if !m.lack || r.end <= r.begin {
		return
	}
	m.lack = false
	m.bytes += r.end - r.begin
	if n := len(m.spans); n > 0 && m.spans[n-1].end == r.begin {
		m.spans[n-1].end = r.end
		return
	}
	m.spans = append(m.spans, r)
}

// Limits of podman's requests for chunks.
const (
	joinedGap = 1 << 10 // bytes between two ranges that are requested with them
	maxRanges = 1 << 10 // ranges of a request
)

// Finish returns how many bytes the client requests, in how many ranges. The layer's TOC is at toc in the blob.
//
// Gaps of at most 1 KiB are requested with what surrounds them. If there are more than 1,023 ranges, the smallest gaps are, too.
func (m *Missing) Finish(toc int64) (bytes int64, ranges int) {
	m.endBefore(toc)
	n := len(m.spans)
	gaps := make([]int64, 0, max(0, n-1))
	for i := 1; i < n; i++ {
		gaps = append(gaps, m.spans[i].begin-m.spans[i-1].end)
	}
	slices.Sort(gaps)
	joined, _ := slices.BinarySearch(gaps, joinedGap+1)
	joined = min(max(joined, n-maxRanges+1), len(gaps)) // podman joins one more than it must
	bytes = m.bytes
	for _, gap := range gaps[:joined] {
		bytes += gap
	}
	return bytes, n - joined
}
