package nixdb

import (
	"encoding/binary"
	"math"
)

// null is a value of a record.
var null any

// record spells values as a row or a key has them: null, int64 or string.
// The types of all come first, and then their bytes.
func record(values ...any) []byte {
	var types, body []byte
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			types = appendVarint(types, 0)
		case int64:
			kind, size := integerType(v)
			types = appendVarint(types, kind)
			var b [8]byte
			binary.BigEndian.PutUint64(b[:], uint64(v))
			body = append(body, b[8-size:]...)
		case string:
			types = appendVarint(types, uint64(len(v))*2+13)
			body = append(body, v...)
		}
	}
	// The size counts itself. It has two bytes only if there are more columns than any table has here.
	size := len(types) + 1
	if size > 127 {
		size++
	}
	out := appendVarint(make([]byte, 0, size+len(body)), uint64(size))
	return append(append(out, types...), body...)
}

// integerType is the type of the shortest spelling of a number, and its size in bytes.
func integerType(n int64) (kind uint64, size int) {
	switch {
	case n == 0:
		return 8, 0
	case n == 1:
		return 9, 0
	case n >= math.MinInt8 && n <= math.MaxInt8:
		return 1, 1
	case n >= math.MinInt16 && n <= math.MaxInt16:
		return 2, 2
	case n >= -1<<23 && n < 1<<23:
		return 3, 3
	case n >= math.MinInt32 && n <= math.MaxInt32:
		return 4, 4
	case n >= -1<<47 && n < 1<<47:
		return 5, 6
	}
	return 6, 8
}

// appendVarint spells a number in groups of seven bits, the highest first.
// SQLite's has eight bits in a ninth byte; nothing here is that large.
func appendVarint(b []byte, n uint64) []byte {
	var groups [10]byte
	i := len(groups) - 1
	groups[i] = byte(n & 0x7f)
	for n >>= 7; n > 0; n >>= 7 {
		i--
		groups[i] = byte(n&0x7f) | 0x80
	}
	return append(b, groups[i:]...)
}
