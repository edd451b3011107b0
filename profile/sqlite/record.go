package sqlite

import (
	"encoding/binary"
	"fmt"
	"math"
)

// A record holds the values of a row or of a key: the size of its header, which counts itself;
// the type of each value; then the bytes of each value. The types are:
//
//	0       null             8, 9        the numbers 0 and 1
//	1 to 6  an integer of    12, 14, …   a blob of (type-12)/2 bytes
//	        1, 2, 3, 4, 6,   13, 15, …   text of (type-13)/2 bytes
//	        8 bytes
//	7       a float
const (
	typeNull = 0
	typeZero = 8
	typeOne  = 9
	typeBlob = 12
	typeText = 13
)

// typeSize returns how many bytes a value of this type has.
func typeSize(kind uint64) (size uint64, ok bool) {
	if kind >= typeBlob {
		return (kind - typeBlob) / 2, true
	}
	sizes := [...]int8{0, 1, 2, 3, 4, 6, 8, 8, 0, 0, -1, -1}
	return uint64(sizes[kind]), sizes[kind] >= 0
}

// integerType returns the type that holds n in the fewest bytes.
func integerType(n int64) uint64 {
	switch {
	case n == 0:
		return typeZero
	case n == 1:
		return typeOne
	case n >= math.MinInt8 && n <= math.MaxInt8:
		return 1
	case n >= math.MinInt16 && n <= math.MaxInt16:
		return 2
	case n >= -1<<23 && n < 1<<23:
		return 3
	case n >= math.MinInt32 && n <= math.MaxInt32:
		return 4
	case n >= -1<<47 && n < 1<<47:
		return 5
	}
	return 6
}

// Record encodes values, each nil, an int64 or a string, as a row or a key.
// It panics if a value has another type.
func Record(values ...any) []byte {
	var types, body []byte
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			types = appendVarint(types, typeNull)
		case int64:
			kind := integerType(v)
			size, _ := typeSize(kind)
			types = appendVarint(types, kind)
			var b [8]byte
			binary.BigEndian.PutUint64(b[:], uint64(v))
			body = append(body, b[8-size:]...)
		case string:
			types = appendVarint(types, typeText+2*uint64(len(v)))
			body = append(body, v...)
		default:
			panic(fmt.Sprintf("sqlite: a record cannot hold a %T", v))
		}
	}
	// The header's size counts its own bytes: one, or two if it exceeds 127.
	size := len(types) + 1
	if size > 127 {
		size++
	}
	record := appendVarint(make([]byte, 0, size+len(body)), uint64(size))
	return append(append(record, types...), body...)
}

// Row is a row of a table. The next row reuses its memory.
type Row struct {
	ID     int64
	body   []byte
	values []value
}

// value locates a value in a row's body.
type value struct {
	kind     uint64
	from, to int
}

// parse decodes the header of a record. It returns false if body is not a record.
func (r *Row) parse(id int64, body []byte) bool {
	r.ID, r.body, r.values = id, body, r.values[:0]
	size, n := varint(body)
	if n == 0 || size < uint64(n) || size > uint64(len(body)) {
		return false
	}
	at := int(size)
	for types := body[n:size]; len(types) > 0; {
		kind, n := varint(types)
		if n == 0 {
			return false
		}
		types = types[n:]
		length, ok := typeSize(kind)
		if !ok || length > uint64(len(body)-at) {
			return false
		}
		r.values = append(r.values, value{kind, at, at + int(length)})
		at += int(length)
	}
	return true
}

// Int returns the integer in a column. It returns false if the column holds none:
// rows written before a column was added have no value for it.
func (r *Row) Int(column int) (n int64, ok bool) {
	if column < 0 || column >= len(r.values) {
		return 0, false
	}
	v := r.values[column]
	switch {
	case v.kind == typeZero || v.kind == typeOne:
		return int64(v.kind - typeZero), true
	case v.kind == typeNull || v.kind > 6:
		return 0, false
	}
	b := r.body[v.from:v.to]
	n = int64(int8(b[0]))
	for _, c := range b[1:] {
		n = n<<8 | int64(c)
	}
	return n, true
}

// Text returns the text in a column, or nil if the column holds none. The next row overwrites it.
func (r *Row) Text(column int) []byte {
	if column < 0 || column >= len(r.values) {
		return nil
	}
	v := r.values[column]
	if v.kind < typeText || v.kind%2 == 0 {
		return nil
	}
	return r.body[v.from:v.to]
}
