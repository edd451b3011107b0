package xz

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"hash/crc64"
	"io"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/decompress/lzma"
)

// parts are the parts of a stream of one block. Their checksums are added later.
type parts struct {
	flags         []byte // of the stream
	block         []byte // flags of the block, and sizes if there are any
	filters       []byte // before LZMA2
	window        byte
	headerPadding []byte
	chunks        []byte
	padding       []byte
	check         []byte
	index         []byte // its numbers
	indexPadding  []byte
	backward      int // added to the size of the index
	footerFlags   []byte
	footer        string
	after         []byte
}

// stored makes a stream with content as it is, after change has changed its parts.
func stored(content string, change func(*parts)) []byte {
	x := &parts{flags: []byte{0, 4}, block: []byte{0}, footer: "YZ"}
	if content != "" {
		x.chunks = append(binary.BigEndian.AppendUint16([]byte{1}, uint16(len(content)-1)), content...)
	}
	x.chunks = append(x.chunks, 0)
	x.check = binary.LittleEndian.AppendUint64(nil, crc64.Checksum([]byte(content), crc64Table))
	const header = 12
	x.index = binary.AppendUvarint([]byte{1}, uint64(header+len(x.chunks)+len(x.check)))
	x.index = binary.AppendUvarint(x.index, uint64(len(content)))
	change(x)
	if x.footerFlags == nil {
		x.footerFlags = x.flags
	}
	withCRC := func(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b)) }
	pad := func(b, padding []byte) []byte {
		b = append(b, padding...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		return b
	}
	out := append([]byte(Magic), x.flags...)
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(x.flags))
	b := append([]byte{0}, x.block...)
	b = append(append(b, x.filters...), 0x21, 1, x.window)
	b = pad(b, x.headerPadding)
	b[0] = byte(len(b) / 4)
	out = append(out, withCRC(b)...)
	out = append(pad(append(out, x.chunks...), x.padding), x.check...)
	index := withCRC(pad(append([]byte{0}, x.index...), x.indexPadding))
	out = append(out, index...)
	footer := append(binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1+x.backward)), x.footerFlags...)
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(footer))
	return append(append(append(out, footer...), x.footer...), x.after...)
}

// chunk makes a chunk whose 5 bytes LZMA decodes to n zeros, if the state is new.
func chunk(control byte, n int, rest ...byte) []byte {
	return append([]byte{control, byte((n - 1) >> 8), byte(n - 1), 0, 4}, rest...)
}

var refused = []struct {
	name string
	file []byte
	err  string
}{
	{"nothing", nil, "unexpected EOF"},
	{"another format", []byte("\xfd7zXY\x00\x00\x04\xe6\xd6\xb4\x46"), "not a stream of xz"},
	{"reserved flag of a stream", stored("x", func(x *parts) { x.flags = []byte{1, 4} }), "flags 0x0104 of a stream: unsupported"},
	{"reserved check", stored("x", func(x *parts) { x.flags = []byte{0, 0x14} }), "unsupported"},
	{"unknown check", stored("x", func(x *parts) { x.flags = []byte{0, 5} }), "check 5: unsupported"},
	{"reserved flag of a block", stored("x", func(x *parts) { x.block = []byte{0x04} }), "flags 0x4 of a block: unsupported"},
	{"padding of a header", stored("x", func(x *parts) { x.headerPadding = []byte{0, 1} }), "fields of a block's header: unsupported"},
	{"packed size of 0", stored("x", func(x *parts) { x.block = []byte{0x40, 0} }), "another size"},
	{"packed size too small", stored("x", func(x *parts) { x.block = []byte{0x40, 4} }), "another size"},
	{"packed size too large", stored("x", func(x *parts) { x.block = []byte{0x40, 6} }), "another size"},
	{"size too small", stored("x", func(x *parts) { x.block = []byte{0x80, 0} }), "another size"},
	{"size too large", stored("x", func(x *parts) { x.block = []byte{0x80, 2} }), "another size"},
	{"long number", stored("x", func(x *parts) { x.block = []byte{0x80, 0x81, 0} }), "a number is too long"},
	{"number of ten bytes", stored("x", func(x *parts) { x.block = []byte{0x80, 129, 129, 129, 129, 129, 129, 129, 129, 129, 1} }), "a number is too long"},
	{"number without an end", stored("x", func(x *parts) { x.block, x.window = []byte{0x83, 1, 3, 1, 0, 3, 1, 0, 3, 128}, 0 }), "a block"},
	{"unknown filter", stored("x", func(x *parts) { x.block, x.filters = []byte{1}, []byte{0x0b, 0} }), "filter 0xb with properties : unsupported"},
	{"LZMA2 twice", stored("x", func(x *parts) { x.block, x.filters = []byte{1}, []byte{0x21, 1, 0} }), "filter 0x21"},
	{"delta without a distance", stored("x", func(x *parts) { x.block, x.filters = []byte{1}, []byte{3, 0} }), "filter 0x3"},
	{"start that is not aligned", stored("x", func(x *parts) { x.block, x.filters = []byte{1}, []byte{7, 4, 2, 0, 0, 0} }), "filter 0x7"},
	{"start of three bytes", stored("x", func(x *parts) { x.block, x.filters = []byte{1}, []byte{4, 3, 0, 0, 0} }), "filter 0x4"},
	{"properties that do not fit", stored("x", func(x *parts) { x.block, x.filters = []byte{1}, []byte{4, 200} }), "too short for its fields"},
	{"unknown size of the window", stored("x", func(x *parts) { x.window = 41 }), "filter 0x21 with properties 0x29: unsupported"},
	{"large window", stored("x", func(x *parts) { x.window = 31 }), "window of 201326592 bytes"},
	{"largest window", stored("x", func(x *parts) { x.window = 40 }), "window of 4294967295 bytes"},
	{"padding of a block", stored("x", func(x *parts) { x.padding = []byte{1} }), "padding of a block"},
	{"check", stored("x", func(x *parts) { x.check[0]++ }), "differs from its check"},
	{"no record", stored("x", func(x *parts) { x.index = []byte{0} }), "index"},
	{"two records", stored("x", func(x *parts) { x.index = append([]byte{2}, append(x.index[1:3:3], x.index[1:3]...)...) }), "index"},
	{"another unpadded size", stored("x", func(x *parts) { x.index[1]++ }), "index"},
	{"another size in the index", stored("x", func(x *parts) { x.index[2]++ }), "index"},
	{"sizes of other blocks that add up", stored("x", func(x *parts) { x.index[1], x.index[2] = x.index[1]+1, x.index[2]-1 }), "index"},
	{"long number in the index", stored("x", func(x *parts) { x.index = []byte{1, x.index[1], 0x81, 0} }), "a number is too long"},
	{"padding of the index", stored("x", func(x *parts) { x.index = append(x.index, 0, 0, 0, 1) }), "index"},
	{"size of the index", stored("x", func(x *parts) { x.backward = 1 }), "footer"},
	{"other flags in the footer", stored("x", func(x *parts) { x.footerFlags = []byte{0, 1} }), "footer"},
	{"end of the footer", stored("x", func(x *parts) { x.footer = "YY" }), "footer"},
	{"data after the end", stored("x", func(x *parts) { x.after = []byte("x") }), "data after the last stream"},
	{"three zeros after the end", stored("x", func(x *parts) { x.after = make([]byte, 3) }), "3 zeros follow"},
	{"stream after five zeros", stored("x", func(x *parts) { x.after = append(make([]byte, 5), Magic...) }), "another stream follows 5 zeros"},
	{"cut magic after the end", stored("x", func(x *parts) { x.after = []byte(Magic[:3]) }), "unexpected EOF"},

	{"first chunk without a reset", stored("x", func(x *parts) { x.chunks[0] = 2 }), "the first chunk of LZMA2 begins with 0x2"},
	{"first chunk with properties alone", stored("", func(x *parts) { x.chunks = chunk(0xc0, 1, 0, 0, 0, 0, 0, 0, 0) }), "begins with 0xc0"},
	{"unknown chunk", stored("", func(x *parts) { x.chunks = []byte{3} }), "begins with 0x3"},
	{"packed chunk without properties", stored("x", func(x *parts) { x.chunks = append([]byte{1, 0, 0, 'x'}, chunk(0xa0, 1, 0, 0, 0, 0, 0, 0)...) }), "first packed chunk"},
	{"properties", stored("", func(x *parts) { x.chunks = chunk(0xe0, 1, 225, 0, 0, 0, 0, 0) }), "properties 0xe1"},
	{"lc + lp = 5", stored("", func(x *parts) { x.chunks = chunk(0xe0, 1, 4+9, 0, 0, 0, 0, 0) }), "properties 0xd"},
	{"first byte of a packed chunk", stored("", func(x *parts) { x.chunks = chunk(0xe0, 1, 0, 1, 0, 0, 0, 0) }), lzma.ErrDamaged.Error()},
	{"short packed chunk", stored("", func(x *parts) { x.chunks = []byte{0xe0, 0, 0, 0, 3, 0, 0, 0, 0, 0} }), lzma.ErrDamaged.Error()},
	{"packed chunk with too many bytes", stored("", func(x *parts) { x.chunks = []byte{0xe0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0} }), lzma.ErrDamaged.Error()},
	{"packed chunk with too few bytes", stored("", func(x *parts) { x.chunks = chunk(0xe0, 2000, 0, 0, 0, 0, 0, 0) }), lzma.ErrDamaged.Error()},
	{"match before the beginning", stored("", func(x *parts) { x.chunks = chunk(0xe0, 100, 0, 0, 0xff, 0xff, 0xff, 0xff) }), lzma.ErrDamaged.Error()},
}

// TestRefused checks each rule of the format with a file that breaks no other.
func TestRefused(t *testing.T) {
	if got, err := decode(bytes.NewReader(stored("content", func(*parts) {}))); string(got) != "content" || err != nil {
		t.Fatalf("stored: %q, %v; want content, <nil>", got, err)
	}
	for _, test := range refused {
		got, err := decode(bytes.NewReader(test.file))
		if err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %q, %v; want an error with %q", test.name, got, err, test.err)
		}
		if strings.Contains(test.err, "unsupported") && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v; want %v", test.name, err, errors.ErrUnsupported)
		}
	}
}

// TestAccepted checks what is unusual, but allowed.
func TestAccepted(t *testing.T) {
	for name, change := range map[string]func(*parts){
		"header padding": func(x *parts) { x.headerPadding = []byte{0, 0} },
		"largest window": func(x *parts) { x.window = 30 },
		"padding":        func(x *parts) { x.after = make([]byte, 400) },
	} {
		if got, err := decode(bytes.NewReader(stored("x", change))); string(got) != "x" || err != nil {
			t.Errorf("%s: %q, %v; want x, <nil>", name, got, err)
		}
	}
	file := stored("x", func(x *parts) { x.after = []byte("\x00\x00\x00\x00more") })
	called := false
	got, err := io.ReadAll(NewReader(bytes.NewReader(file), Options{Window: window, Trailing: func() { called = true }}))
	if string(got) != "x" || !called || err != nil {
		t.Errorf("with trailing data: %q, called: %v, %v; want x, true, <nil>", got, called, err)
	}
}
