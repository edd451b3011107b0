package chunked

import (
	"encoding/binary"
	"slices"
)

// MaxPiece is the most bytes of a file that are cut at once. A larger file is cut into pieces first, at [PieceEnd].
const MaxPiece = 4 << 20

// Limits of chunks, in bytes before compression. Changing one changes the bytes of images.
const (
	// minCut is the size of the smallest piece that is cut.
	minCut = 4 << 10

	// minStable is the size of the smallest chunk between two volatile ones. A smaller one joins them.
	// podman fetches a gap of up to 1 KiB, after compression, with what surrounds it.
	minStable = 4 << 10

	// maxVolatile is the most volatile chunks of a piece. If there are more, they join their neighbours.
	maxVolatile = 64

	// maxCuts is the most chunks of a piece.
	maxCuts = 2*maxVolatile + 1

	// maxName is the most bytes behind a store hash that can belong to the name of the store path. Nix allows 211 with the hash.
	maxName = 211 - hashDigits
)

// A store hash stands between two bytes: /HASH-NAME.
const (
	hashDigits = 32
	hashBytes  = 1 + hashDigits + 1
)

// Classes of bytes.
const (
	isDigit = 1 << iota // of Nix's base 32
	isName              // of the name of a store path
)

var class = func() (t [256]byte) {
	const digits = "0123456789abcdfghijklmnpqrsvwxyz" // that of package nix32
	for _, c := range []byte(digits) {
		t[c] = isDigit | isName
	}
	for _, c := range []byte("eoutABCDEFGHIJKLMNOPQRSTUVWXYZ+-._?=") {
		t[c] = isName
	}
	return t
}()

// PieceEnd returns where the first piece of b ends. b holds the next bytes of a large file: more than MaxPiece/4, at most [MaxPiece].
//
// The place is in the last quarter of MaxPiece, and depends only on the bytes there. Two versions of a file that differ by an insertion
// have the same places again soon behind it. A piece does not end in a store hash.
func PieceEnd(b []byte) int {
	return endBefore(b, len(b)-MaxPiece/4)
}

// endBefore returns the place from i to len(b) whose next bytes have the greatest hash. The last of several wins.
func endBefore(b []byte, i int) int {
	end, most := len(b), uint64(0)
	for i = max(i, 1); i+8 <= len(b); i++ {
		if h := binary.LittleEndian.Uint64(b[i:]) * 0x9e3779b97f4a7c15; h >= most {
			end, most = i, h
		}
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
// When a store path is rebuilt, files of the paths that need it often differ only in its hash. So each cluster of store hashes
// is in a small chunk of its own, and the chunks between are those of the earlier build. Cuts depend only on b.
func AppendCuts(ends []int, b []byte) []int {
	if len(b) == 0 {
		return ends
	}
	if len(b) < minCut {
		return append(ends, len(b))
	}
	first := len(ends)
	ends = appendVolatile(ends, b)
	if len(ends)-first > 2*maxVolatile {
		ends = join(ends, first)
	}
	if n := len(ends); n > first && len(b)-ends[n-1] < minStable {
		ends = ends[:n-1] // the last volatile chunk takes the rest
	}
	if n := len(ends); n > first && ends[first] < minStable {
		ends = slices.Delete(ends, first, first+1) // the first volatile chunk begins with b
	}
	if n := len(ends); n == first || ends[n-1] < len(b) {
		ends = append(ends, len(b))
	}
	return ends
}

// appendVolatile appends the starts and ends of the clusters of store hashes in b, with their names.
func appendVolatile(ends []int, b []byte) []int {
	first := len(ends)
	for i := nextHash(b, 0); i >= 0; {
		end := i + hashBytes
		for limit := min(end+maxName, len(b)); end < limit && class[b[end]]&isName != 0; {
			end++
		}
		if n := len(ends); n > first && i-ends[n-1] < minStable {
			ends[n-1] = end
		} else {
			ends = append(ends, i, end)
		}
		i = nextHash(b, i+hashBytes-1)
	}
	return ends
}

// join joins clusters in ends[first:] until maxVolatile are left. The largest gaps stay; of equal ones, the first.
func join(ends []int, first int) []int {
	clusters := ends[first:]
	gaps := make([]int, 0, len(clusters)/2)
	for i := 2; i < len(clusters); i += 2 {
		gaps = append(gaps, clusters[i]-clusters[i-1])
	}
	slices.Sort(gaps)
	least := gaps[len(gaps)-(maxVolatile-1)]
	larger, _ := slices.BinarySearch(gaps, least+1)
	equal := maxVolatile - 1 - (len(gaps) - larger) // gaps of that size that stay

	kept := 2
	for i := 2; i < len(clusters); i += 2 {
		gap := clusters[i] - clusters[i-1]
		if gap > least || gap == least && equal > 0 {
			if gap == least {
				equal--
			}
			clusters[kept-1], clusters[kept] = clusters[i-1], clusters[i]
			kept += 2
		}
	}
	clusters[kept-1] = clusters[len(clusters)-1]
	return ends[:first+kept]
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
