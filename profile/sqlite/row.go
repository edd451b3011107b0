package sqlite

// Row is a row of a table. What it has is in memory that is used again.
type Row struct {
	ID     int64
	body   []byte
	values []value
}

// value is where a value is, by its type:
//
//	0       null             8, 9        the numbers 0 and 1
//	1 to 6  an integer of    12, 14, …   bytes, (type-12)/2 of them
//	        1, 2, 3, 4, 6,   13, 15, …   text, (type-13)/2 bytes of it
//	        8 bytes
//	7       a float
type value struct {
	kind     uint64
	from, to int
}

// parse reads where the values are: a size, which counts itself, the types of all, and their bytes.
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
		length, ok := sizeOf(kind)
		if !ok || length > uint64(len(body)-at) {
			return false
		}
		r.values = append(r.values, value{kind, at, at + int(length)})
		at += int(length)
	}
	return true
}

func sizeOf(kind uint64) (size uint64, ok bool) {
	if kind >= 12 {
		return (kind - 12) / 2, true
	}
	sizes := [...]int8{0, 1, 2, 3, 4, 6, 8, 8, 0, 0, -1, -1}
	return uint64(sizes[kind]), sizes[kind] >= 0
}

// Int is the integer in a column. Where there is none, as in columns that were added after the row, ok is false.
func (r *Row) Int(column int) (n int64, ok bool) {
	if column < 0 || column >= len(r.values) {
		return 0, false
	}
	v := r.values[column]
	switch {
	case v.kind == 8 || v.kind == 9:
		return int64(v.kind - 8), true
	case v.kind == 0 || v.kind > 6:
		return 0, false
	}
	b := r.body[v.from:v.to]
	n = int64(int8(b[0]))
	for _, c := range b[1:] {
		n = n<<8 | int64(c)
	}
	return n, true
}

// Text is the text in a column, and empty where there is none. It lasts as long as the row.
func (r *Row) Text(column int) []byte {
	if column < 0 || column >= len(r.values) {
		return nil
	}
	v := r.values[column]
	if v.kind < 13 || v.kind%2 == 0 {
		return nil
	}
	return r.body[v.from:v.to]
}
