package lzip

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/decompress/lzma"
)

type refusal struct {
	name string
	file []byte
	err  string
}

// refused returns files that break one rule of the format each.
func refused(t testing.TB) []refusal {
	t.Helper()
	_, packed, _ := files(t)
	one := packed[recordedName("byte", "lzip", "")]
	empty := packed[recordedName("empty", "lzip", "")]
	changed := func(at int, to byte) []byte {
		b := bytes.Clone(one)
		if at < 0 {
			at += len(b)
		}
		b[at] = to
		return b
	}
	lzmaOnly := func(stream ...byte) []byte { return slices.Concat(one[:6], stream, make([]byte, 40)) }
	damaged := lzma.ErrDamaged.Error()
	return []refusal{
		{"nothing", nil, "unexpected EOF"},
		{"part of a header", one[:5], "unexpected EOF"},
		{"another format", []byte("LZMA\x01\x0c"), "not a file of lzip"},
		{"short file of another format", []byte("x"), "not a file of lzip"},
		{"version 0", changed(4, 0), "version 0 of the format: unsupported"},
		{"version 2", changed(4, 2), "version 2 of the format: unsupported"},
		{"window of 2 KiB", changed(5, 11), "size 0xb of a window"},
		{"window of 4 KiB less 1/16", changed(5, 12|1<<5), "size 0x2c of a window"},
		{"window of 1 GiB", changed(5, 30), "size 0x1e of a window"},
		{"window of 2 GiB less 7/16", changed(5, 31|7<<5), "size 0xff of a window"},
		{"window of 512 MiB", changed(5, 29), "window of 536870912 bytes"},
		{"window of 256 MiB less 7/16", changed(5, 28|7<<5), "window of 150994944 bytes"},
		{"first byte of the stream", changed(6, 1), damaged},
		{"checksum", changed(-20, one[len(one)-20]+1), "differs from its checksum"},
		{"size of the content", changed(-16, 2), "another size"},
		{"large size of the content", changed(-9, 1), "another size"},
		{"size of the member", changed(-8, one[len(one)-8]+1), "another size"},
		{"large size of the member", changed(-1, 1), "another size"},
		{"match before the beginning", lzmaOnly(0, 0xff, 0xff, 0xff, 0xff), damaged},
		{"no marker", lzmaOnly(), "unexpected EOF"},
		{"another marker", readFile(t, "testdata/syncflush.lz"), "marker 1: unsupported"},
		{"data behind the end", append(bytes.Clone(one), 'x'), "data after the last member"},
		{"a zero behind the end", append(bytes.Clone(one), 0), "data after the last member"},
		{"damaged header behind the end", slices.Concat(one, []byte("LZIp"), one[4:]), "data after the last member"},
		{"member with another version behind the end", slices.Concat(one, changed(4, 2)), "version 2 of the format: unsupported"},
		{"cut magic behind the end", slices.Concat(one, []byte("LZ")), "unexpected EOF"},
		{"empty member behind another", slices.Concat(one, empty), "one of several members is empty"},
		{"empty member before another", slices.Concat(empty, one), "one of several members is empty"},
	}
}

// TestRefused checks each rule of the format with a file that breaks no other.
func TestRefused(t *testing.T) {
	for _, test := range refused(t) {
		got, err := decode(bytes.NewReader(test.file))
		if err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %q, %v; want an error with %q", test.name, got, err, test.err)
		}
		if strings.Contains(test.err, "unsupported") && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v; want %v", test.name, err, errors.ErrUnsupported)
		}
	}
}

// TestTrailing checks what may follow the last member if the caller accepts such data.
func TestTrailing(t *testing.T) {
	_, packed, _ := files(t)
	b := packed[recordedName("byte", "lzip", "")]
	for _, test := range []struct {
		trailing string
		called   bool
		err      string
	}{
		{"", false, ""},
		{"x", true, ""},
		{"\x00\x00\x00\x00", true, ""},
		{"text", true, ""},
		{"LOOK", true, ""}, // one byte as in the magic number
		{"LZMA", false, "the header of a member is damaged"},
		{"MZIP\x01\x0c", false, "the header of a member is damaged"},
		{"LZ", false, "unexpected EOF"},
	} {
		called := false
		got, err := io.ReadAll(NewReader(strings.NewReader(string(b)+test.trailing), Options{Window: window, Trailing: func() { called = true }}))
		if string(got) != "x" || called != test.called || (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
			t.Errorf("with %q behind it: %q, called: %v, %v; want x, %v, %q", test.trailing, got, called, err, test.called, test.err)
		}
	}
}

// TestWindows checks the smallest and the largest window, and one that is no power of two.
func TestWindows(t *testing.T) {
	_, packed, _ := files(t)
	b := bytes.Clone(packed[recordedName("byte", "lzip", "")])
	for _, window := range []byte{12, 27, 13 | 7<<5} {
		b[5] = window
		if got, err := decode(bytes.NewReader(b)); string(got) != "x" || err != nil {
			t.Errorf("window %#x: %q, %v; want x, <nil>", window, got, err)
		}
	}
}
