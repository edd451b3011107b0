package localstore

import (
	"bytes"
	"hash/maphash"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	// mostHeld limits the bytes of records that a directory holds.
	mostHeld = 4 << 20
	// mostRanges limits how often a directory is read. Of a very large one, ranges are larger than mostHeld.
	mostRanges = 16
	// mostSamples limits the names from which ranges are guessed.
	mostSamples = 4096
)

// ranges divides a large directory by its names, so that the records of each range have about mostHeld bytes.
// The directory is read once to count and sample its names, and once for each range.
type ranges struct {
	count   int    // of all entries
	bytes   int    // of all records
	sum     uint64 // of the hashes of all names
	samples [][]byte
	every   int      // how many entries a sample stands for
	starts  [][]byte // where the second range begins, and each after it
	next    int      // the range that is read next
}

var nameSeed = maphash.MakeSeed()

// newRanges notes the entries that a directory holds.
func newRanges(l *directory) *ranges {
	r := &ranges{every: 1}
	for _, chunk := range l.chunks {
		for at := 0; at < len(chunk); at += 2 + int(chunk[at+1]) {
			r.note(chunk[at+2:][:chunk[at+1]])
		}
	}
	return r
}

// note notes an entry.
func (r *ranges) note(name []byte) {
	if r.count%r.every == 0 {
		r.samples = append(r.samples, bytes.Clone(name))
	}
	if len(r.samples) == mostSamples {
		for i := range mostSamples / 2 {
			r.samples[i] = r.samples[2*i]
		}
		clear(r.samples[mostSamples/2:])
		r.samples = r.samples[:mostSamples/2]
		r.every *= 2
	}
	r.count++
	r.bytes += 2 + len(name)
	r.sum += maphash.Bytes(nameSeed, name)
}

// divide finds the starts of the ranges, after all entries were noted.
func (r *ranges) divide() {
	slices.SortFunc(r.samples, bytes.Compare)
	n := min(1+r.bytes/mostHeld, mostRanges)
	for i := 1; i < n; i++ {
		r.starts = append(r.starts, r.samples[i*len(r.samples)/n])
	}
	r.samples = nil
}

// nextRange replaces the entries by those of the next range, sorted. It returns false after the last range.
// Names that the directory shows restored are in the range of the restored name.
func (l *directory) nextRange(fd int, buf []byte) (bool, error) {
	r := l.ranges
	if r == nil || r.next > len(r.starts) {
		return false, nil
	}
	var from, to []byte
	if r.next > 0 {
		from = r.starts[r.next-1]
	}
	if r.next < len(r.starts) {
		to = r.starts[r.next]
	}
	r.next++
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		return false, err
	}
	l.chunks, l.order = nil, nil
	count, all, sum := 0, 0, uint64(0)
	err := eachDirent(fd, buf, func(name []byte, kind uint8) error {
		all++
		sum += maphash.Bytes(nameSeed, name)
		key := l.key(name)
		if bytes.Compare(key, from) < 0 || to != nil && bytes.Compare(key, to) >= 0 {
			return nil
		}
		count++
		return l.add(name, kind)
	})
	if err == nil && (all != r.count || sum != r.sum) {
		err = errChanged // an entry may be in no range, or in two
	}
	if err != nil {
		return false, err
	}
	l.sort(count)
	return true, nil
}
