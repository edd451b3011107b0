package lzma

// dictionary holds the window, and the chunk that is being decoded behind it.
// It is decoded in laps: a chunk that no longer fits goes to the beginning of the buffer,
// which no match reaches any more, since the lap before was longer than the window.
type dictionary struct {
	buf  []byte
	size int // of the window
	pos  int // where the next byte goes
	end  int // where the lap before ended; 0 in the first lap
	past int // bytes in the laps before
}

// slack is how many bytes behind a match may be overwritten, since it is copied in words.
const slack = 16

// firstRoom is how many bytes are made at first. Most NARs need no more.
const firstRoom = 256 << 10

// reset forgets the window.
func (d *dictionary) reset() { d.pos, d.end, d.past = 0, 0, 0 }

// room returns the next n bytes of the buffer, at most maxUnpacked. The caller adds them to d.pos once they are there.
func (d *dictionary) room(n int) []byte {
	need := d.pos + n + slack
	if most := d.size + maxUnpacked + 2*slack; need > len(d.buf) && len(d.buf) < most {
		size := max(need, 2*len(d.buf), firstRoom)
		if size >= most/4 {
			size = most // otherwise the buffers left behind would take as much again
		}
		buf := make([]byte, size)
		copy(buf, d.buf[:d.pos])
		d.buf = buf
	}
	if need > len(d.buf) { // a lap ends only in a buffer of full size: one that grows loses the lap before
		d.past += d.pos
		d.end, d.pos = d.pos, 0
	}
	return d.buf[d.pos : d.pos+n]
}

// last returns the last byte, or 0 if there is none.
func (d *dictionary) last() uint8 {
	switch {
	case d.pos > 0:
		return d.buf[d.pos-1]
	case d.end > 0:
		return d.buf[d.end-1]
	}
	return 0
}

// from returns the index of the byte at a distance, less one, before pos. An earlier match has checked the distance.
func (d *dictionary) from(pos int, distance uint32) int {
	from := pos - int(distance) - 1
	if from < 0 {
		from += d.end
	}
	return from
}
