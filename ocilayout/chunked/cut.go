package chunked

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// MaxPiece limits the bytes that are cut at once. [PieceEnd] divides a larger file into pieces first.
const MaxPiece = 4 << 20

// Limits of chunks, in bytes before compression. Changing one changes the bytes of images.
const (
	// Pieces smaller than minCut stay whole. Each further chunk adds about 55 bytes to the tables of its layer,
	// which every client of the layer fetches, and at least 10 bytes to the frames.
	minCut = 4 << 10

	// minStable limits the chunk between two volatile ones from below. A smaller one joins them.
	// podman fetches a gap of up to 1 KiB, after compression, with what surrounds it.
	minStable = 2 << 10

	// maxVolatile limits the volatile chunks of a piece. If there are more, they join their neighbours.
	maxVolatile = 64

	// maxStable limits the chunk between two volatile ones. Smaller chunks save more where a rebuild changes
	// only parts of a program, but they make the image larger: see README.md of package ocilayout.
	maxStable = 1 << 20

	// searched is how many bytes before the largest end of a chunk or a piece are searched for its end.
	// If an insertion is shorter, the ends behind it are soon in the same places again. Searching takes a nanosecond a byte.
	searched = maxStable / 8

	// maxCuts limits the chunks of a piece. It follows from the limits above.
	maxCuts = 2*maxVolatile + 1 + MaxPiece/(maxStable-searched)

	// maxPath limits the bytes behind a store hash that its volatile chunk takes: the rest of a path.
	// A longer name of the store path moves what is behind it.
	maxPath = 256

	// maxPadding limits the zeros behind such a path that its volatile chunk takes.
	// Linkers align what follows, so a longer path has less of them.
	maxPadding = 64
)

// A store hash stands between two bytes: /HASH-NAME.
const (
	hashDigits = 32
	hashBytes  = 1 + hashDigits + 1
)

// Classes of bytes.
const (
	isDigit = 1 << iota // of Nix's base 32
	isPath              // of paths
)

var class = func() (t [256]byte) {
	const digits = "0123456789abcdfghijklmnpqrsvwxyz" // that of package nix32
	for _, c := range []byte(digits) {
		t[c] = isDigit | isPath
	}
	for _, c := range []byte("eoutABCDEFGHIJKLMNOPQRSTUVWXYZ+-._?=/") { // the other bytes of store paths
		t[c] = isPath
	}
	return t
}()

// PieceEnd returns where the first piece of b ends. b holds the next bytes of a large file: [MaxPiece] of them, or fewer at its end.
//
// The place is near the end of b, and depends only on the bytes there. Two versions of a file that differ by an insertion
// have the same places again soon behind it. A piece does not end in a store hash.
func PieceEnd(b []byte) int {
	end, most := len(b), uint64(0)
	i := max(len(b)-searched, 1)
	for w := b[min(i, len(b)):]; len(w) >= 8; w = w[1:] { // the place whose next bytes have the greatest hash
		if h := binary.LittleEndian.Uint64(w) * 0x9e3779b97f4a7c15; h >= most {
			end, most = i, h
		}
		i++
	}
	for s := end - 1; s > 0 && s > end-hashBytes; s-- {
		if s+hashBytes <= len(b) && isHash(b[s:s+hashBytes]) {
			return s
		}
	}
	return end
}

// isHash reports whether b is a slash, a store hash and a dash.
func isHash(b []byte) bool {
	if b[0] != '/' || b[hashBytes-1] != '-' {
		return false
	}
	for _, c := range b[1 : hashBytes-1] {
		if class[c]&isDigit == 0 {
			return false
		}
	}
	return true
}

// AppendCuts appends to ends where the chunks of b end. b is a file, or a piece of one, and the last chunk ends with it.
// If b is empty, it has no chunks.
//
// When a store path is rebuilt, files of the paths that need it often differ only in its hash, and if its name has another length,
// in a few numbers of each program. So each of these places is in a small volatile chunk of its own,
// and the chunks between are those of the earlier build. Cuts depend only on b.
func AppendCuts(ends []int, b []byte) []int {
	if len(b) == 0 {
		return ends
	}
	if len(b) < minCut {
		return append(ends, len(b))
	}
	places := appendHashes(nil, b)
	if n := len(places); len(b) >= minProgram {
		if places = appendProgram(places, b); len(places) > n {
			slices.SortFunc(places, func(a, b span) int { return cmp.Or(a.start-b.start, a.end-b.end) })
		}
	}
	places = join(places, minStable)
	if len(places) > maxVolatile {
		places = joinMost(places)
	}
	last := 0
	for _, p := range places {
		if p.start < minStable { // of the first place
			p.start = 0
		}
		if len(b)-p.end < minStable { // of the last place
			p.end = len(b)
		}
		ends = appendStable(ends, b, last, p.start)
		if last = p.end; p.end > p.start {
			ends = append(ends, p.end)
		}
	}
	return appendStable(ends, b, last, len(b))
}

// appendStable appends the ends of the chunks of b[start:end], in which there is no volatile place.
func appendStable(ends []int, b []byte, start, end int) []int {
	for end-start > maxStable {
		start += PieceEnd(b[start:][:maxStable])
		ends = append(ends, start)
	}
	if end > start {
		ends = append(ends, end)
	}
	return ends
}

// span is a volatile place in a piece. An empty one is only a cut.
type span struct{ start, end int }

// appendHashes appends the places of store hashes in b, with the rest of their paths.
func appendHashes(places []span, b []byte) []span {
	for i := nextHash(b, 0); i >= 0; {
		end := i + hashBytes
		for limit := min(end+maxPath, len(b)); end < limit && class[b[end]]&isPath != 0; {
			end++
		}
		for limit := min(end+maxPadding, len(b)); end < limit && b[end] == 0; {
			end++
		}
		if n := len(places); n > 0 && i-places[n-1].end < minStable { // so that memory is bounded
			places[n-1].end = max(places[n-1].end, end)
		} else {
			places = append(places, span{i, end})
		}
		i = nextHash(b, i+hashBytes-1)
	}
	return places
}

// join joins sorted places that have fewer than gap bytes between them. Cuts that are so near to a place are dropped.
func join(places []span, gap int) []span {
	joined := places[:0]
	for _, p := range places {
		n := len(joined)
		switch {
		case n == 0 || p.start-joined[n-1].end >= gap:
			joined = append(joined, p)
		case joined[n-1].start == joined[n-1].end:
			joined[n-1] = p
		case p.start < p.end:
			joined[n-1].end = max(joined[n-1].end, p.end)
		}
	}
	return joined
}

// joinMost joins sorted places until maxVolatile are left. The largest gaps stay; of equal ones, the first.
func joinMost(places []span) []span {
	gaps := make([]int, 0, len(places))
	for i := range places[1:] {
		gaps = append(gaps, places[i+1].start-places[i].end)
	}
	slices.Sort(gaps)
	least := gaps[len(gaps)-(maxVolatile-1)]
	larger, _ := slices.BinarySearch(gaps, least+1)
	equal := maxVolatile - 1 - (len(gaps) - larger) // gaps of that size that stay
	joined := places[:1]
	for _, p := range places[1:] {
		gap := p.start - joined[len(joined)-1].end
		if gap == least {
			equal--
		}
		if gap > least || gap == least && equal >= 0 {
			joined = append(joined, p)
		} else {
			joined[len(joined)-1].end = p.end
		}
	}
	return joined
}

// nextHash returns where in b, at i or later, the slash before the next store hash is, or -1.
//
// It checks a window of the length of a hash from its end. If it meets a byte that is no digit,
// it moves the window past that byte. So it skips most bytes of a program.
func nextHash(b []byte, i int) int {
	i++
	digits := 0 // at the start of the window, known from the previous one
	for i+hashDigits < len(b) {
		j := i + hashDigits - 1
		for j >= i+digits && class[b[j]]&isDigit != 0 {
			j--
		}
		if j >= i+digits {
			digits = i + hashDigits - 1 - j
			i = j + 1
			continue
		}
		end := i + hashDigits
		if b[i-1] == '/' && b[end] == '-' {
			return i - 1
		}
		for end < len(b) && class[b[end]]&isDigit != 0 {
			end++
		}
		i, digits = end+1, 0
	}
	return -1
}
