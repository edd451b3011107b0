package sqlite

import "encoding/binary"

const (
	magic      = "SQLite format 3\x00"
	fractions  = "\x40\x20\x20" // fixed by the format
	headerSize = 100
)

// Offsets in the file's header, which begins page 1.
const (
	atPageSize      = 16 // 2 bytes; 1 means 65536
	atWriteVersion  = 18 // 1: rollback journal, 2: log
	atReadVersion   = 19
	atReserved      = 20 // bytes at the end of each page that SQLite leaves alone
	atFractions     = 21 // 3 bytes
	atChanges       = 24 // counts changes of the file
	atPages         = 28 // valid if the counters at 24 and 92 agree
	atSchemaChanges = 40
	atSchemaFormat  = 44
	atEncoding      = 56
	atValidFor      = 92 // the value of atChanges when the page count was written
	atVersion       = 96 // of the SQLite that wrote the file
)

const utf8 = 1 // at atEncoding

// Kinds of pages. The first byte of a page tells its kind.
const (
	indexInterior = 0x02
	tableInterior = 0x05
	indexLeaf     = 0x0a
	tableLeaf     = 0x0d
)

// Offsets in a page's own header. An offset of 2 bytes for each cell follows it.
const (
	atKind       = 0
	atCells      = 3 // 2 bytes: the number of cells
	atContent    = 5 // 2 bytes: where the cells begin
	atRightChild = 8 // 4 bytes, of interior pages only
)

// pageHeaderSize returns the size of the header of a page of this kind.
func pageHeaderSize(kind byte) int {
	if kind == tableInterior || kind == indexInterior {
		return 12
	}
	return 8
}

// inPage returns how many bytes of a table's row stay in its leaf.
// The rest continues in a chain of overflow pages.
func inPage(size, usable int) int {
	if size <= usable-35 {
		return size
	}
	least := (usable-12)*32/255 - 23
	if k := least + (size-least)%(usable-4); k <= usable-35 {
		return k
	}
	return least
}

// varint reads a number of one to nine bytes and returns how many it has read, or 0 if b ends too early.
// Each of the first eight bytes holds seven bits, and its top bit says that another byte follows.
// The ninth holds eight bits.
func varint(b []byte) (v uint64, n int) {
	for n < len(b) {
		c := b[n]
		n++
		if n == 9 {
			return v<<8 | uint64(c), n
		}
		v = v<<7 | uint64(c&0x7f)
		if c < 0x80 {
			return v, n
		}
	}
	return 0, 0
}

// appendVarint appends v, the inverse of [varint].
func appendVarint(b []byte, v uint64) []byte {
	var bytes [9]byte
	i := len(bytes) - 1
	if v >= 1<<56 {
		bytes[i] = byte(v)
		v >>= 8
		for i--; i >= 0; i-- {
			bytes[i] = byte(v) | 0x80
			v >>= 7
		}
		return append(b, bytes[:]...)
	}
	bytes[i] = byte(v & 0x7f)
	for v >>= 7; v > 0; v >>= 7 {
		i--
		bytes[i] = byte(v) | 0x80
	}
	return append(b, bytes[i:]...)
}

func getUint16(b []byte, at int) int       { return int(binary.BigEndian.Uint16(b[at:])) }
func getUint32(b []byte, at int) uint32    { return binary.BigEndian.Uint32(b[at:]) }
func putUint16(b []byte, at int, v int)    { binary.BigEndian.PutUint16(b[at:], uint16(v)) }
func putUint32(b []byte, at int, v uint32) { binary.BigEndian.PutUint32(b[at:], v) }
