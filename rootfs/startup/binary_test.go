package startup

import (
	"bytes"
	"debug/elf"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var elfFiles = map[string]struct {
	file elfFile
	want binaryFile
}{
	"static": {elfFile{typ: typeExec}, binaryFile{Machine: x86, Type: typeExec}},
	"program": {
		elfFile{interp: "/lib/ld.so", needed: []string{"liba.so.1", "libc.so.6"}, runpath: "$ORIGIN/../lib"},
		binaryFile{Machine: x86, Type: typeDyn, Interp: "/lib/ld.so", Needed: []string{"liba.so.1", "libc.so.6"}, Runpath: "$ORIGIN/../lib", HasRunpath: true},
	},
	"library with RPATH": {
		elfFile{soname: "liba.so.1", rpath: "/a:/b", flags1: 0x800},
		binaryFile{Machine: x86, Type: typeDyn, Soname: "liba.so.1", Rpath: "/a:/b", NoDefaultLib: true},
	},
	"RUNPATH hides RPATH": {
		elfFile{rpath: "/a", runpath: "/b"},
		binaryFile{Machine: x86, Type: typeDyn, Runpath: "/b", HasRunpath: true},
	},
	"an empty RUNPATH hides RPATH": {
		elfFile{rpath: "/a", empty: true},
		binaryFile{Machine: x86, Type: typeDyn, HasRunpath: true},
	},
	"versions": {
		elfFile{needed: []string{"libc.so.6"}, wanted: []wantedVersion{{"libc.so.6", "GLIBC_2.34", false}, {"libm.so.6", "GLIBC_2.2", true}}, defined: []string{"libx.so", "X_1"}},
		binaryFile{Machine: x86, Type: typeDyn, Needed: []string{"libc.so.6"},
			Wanted: []wantedVersion{{"libc.so.6", "GLIBC_2.34", false}, {"libm.so.6", "GLIBC_2.2", true}}, Defined: []string{"libx.so", "X_1"}},
	},
	"32 bits": {
		elfFile{narrow: true, machine: elf.EM_386, needed: []string{"libc.so.6"}, interp: "/lib/ld-linux.so.2", defined: []string{"a"}},
		binaryFile{Machine: machine{uint16(elf.EM_386), false, false}, Type: typeDyn, Interp: "/lib/ld-linux.so.2", Needed: []string{"libc.so.6"}, Defined: []string{"a"}},
	},
	"big endian": {
		elfFile{big: true, machine: elf.EM_S390, needed: []string{"libc.so.6"}, wanted: []wantedVersion{{"libc.so.6", "V", false}}},
		binaryFile{Machine: machine{uint16(elf.EM_S390), true, true}, Type: typeDyn, Needed: []string{"libc.so.6"}, Wanted: []wantedVersion{{"libc.so.6", "V", false}}},
	},
	"a long name": {
		elfFile{needed: []string{strings.Repeat("n", 3000)}},
		binaryFile{Machine: x86, Type: typeDyn, Needed: []string{strings.Repeat("n", 3000)}},
	},
	"object file": {elfFile{typ: 1}, binaryFile{Machine: x86, Type: 1}},
}

// TestReadBinary checks that readBinary reads the same with random access and from a stream.
func TestReadBinary(t *testing.T) {
	for name, test := range elfFiles {
		b := test.file.bytes()
		for how, r := range map[string]io.ReaderAt{"random access": bytes.NewReader(b), "stream": &forwardReader{r: bytes.NewReader(b)}} {
			got, err := readBinary(r, int64(len(b)))
			if err != nil {
				t.Errorf("%s, %s: %v", name, how, err)
				continue
			}
			if d := cmp.Diff(&test.want, got); d != "" {
				t.Errorf("%s, %s (-want +got):\n%s", name, how, d)
			}
		}
	}
}

// TestReadBinaryAgainstGo checks that debug/elf reads from the tests' files what they were made of.
func TestReadBinaryAgainstGo(t *testing.T) {
	for name, test := range elfFiles {
		f, err := elf.NewFile(bytes.NewReader(test.file.bytes()))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if uint16(f.Machine) != test.want.Machine.ID || uint16(f.Type) != test.want.Type {
			t.Errorf("%s: Go reads %v, %v; want %+v", name, f.Machine, f.Type, test.want)
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				if b, err := io.ReadAll(p.Open()); err != nil || string(b) != test.want.Interp+"\x00" {
					t.Errorf("%s: Go reads the interpreter %q, %v; want %q", name, b, err, test.want.Interp)
				}
			}
		}
	}
}

// TestDamagedBinary checks that a file cut anywhere is damaged, and that reading it never fails.
func TestDamagedBinary(t *testing.T) {
	b := elfFiles["versions"].file.bytes()
	for size := len(elfMagic); size < len(b); size++ {
		got, err := readBinary(bytes.NewReader(b[:size]), int64(size))
		if err != nil || got.Damage == "" {
			t.Errorf("readBinary of the first %d of %d bytes = %+v, %v; want damage", size, len(b), got, err)
		}
	}
	for name, change := range map[string]func([]byte){
		"class":                         func(b []byte) { b[4] = 3 },
		"byte order":                    func(b []byte) { b[5] = 0 },
		"number of program headers":     func(b []byte) { b[56], b[57] = 0xff, 0xff },
		"number of 0 program headers":   func(b []byte) { b[56] = 0 },
		"program header size":           func(b []byte) { b[54]++ },
		"end of a segment":              func(b []byte) { b[64+32+7] = 0x80 },
		"end of the dynamic section":    func(b []byte) { b[64+56+32+3] = 1 },
		"offset of the dynamic section": func(b []byte) { b[64+56+8+6] = 1 },
		"segment address":               func(b []byte) { b[64+16+5] = 1 },
	} {
		b := bytes.Clone(b)
		change(b)
		got, err := readBinary(bytes.NewReader(b), int64(len(b)))
		if err != nil || got.Damage == "" {
			t.Errorf("readBinary with a wrong %s = %+v, %v; want damage", name, got, err)
		}
	}
}

// FuzzReadBinary checks that reading any file neither fails nor exceeds the limits,
// and that random access and a stream give the same result.
func FuzzReadBinary(f *testing.F) {
	for _, test := range elfFiles {
		f.Add(test.file.bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readBinary(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatalf("readBinary: %v", err)
		}
		if len(got.Needed) > maxNeeded || len(got.Wanted) > maxVersions || len(got.Defined) > maxVersions {
			t.Errorf("readBinary exceeds its limits: %d libraries, %d and %d versions", len(got.Needed), len(got.Wanted), len(got.Defined))
		}
		again, err := readBinary(&forwardReader{r: bytes.NewReader(b)}, int64(len(b)))
		if d := cmp.Diff(got, again); err != nil || d != "" {
			t.Errorf("readBinary of a stream: %v (-random access +stream):\n%s", err, d)
		}
	})
}

// TestForwardReader checks which backward reads a forwardReader allows, with and without kept spans.
func TestForwardReader(t *testing.T) {
	b := make([]byte, 3*maxHead)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	back := int64(2*maxHead - 100)
	f := &forwardReader{r: bytes.NewReader(b)}
	read := func(f *forwardReader, at, n int64) error {
		p := make([]byte, n)
		_, err := f.ReadAt(p, at)
		if err == nil && !bytes.Equal(p, b[at:at+n]) {
			t.Errorf("ReadAt of %d bytes at %d returns wrong bytes", n, at)
		}
		return err
	}
	for _, at := range []int64{0, 100, 10, maxHead - 50, maxHead - 50, 2*maxHead + 10} {
		if err := read(f, at, 100); err != nil {
			if at != maxHead-50 {
				t.Errorf("ReadAt at %d: %v", at, err)
			}
		}
	}
	var passed *backwardError
	if err := read(f, back, 200); err == nil {
		t.Fatalf("ReadAt of passed bytes = <nil>; want a backwardError")
	} else if p, ok := err.(*backwardError); !ok {
		t.Fatalf("ReadAt of passed bytes: %v; want a backwardError", err)
	} else {
		passed = p
	}
	kept := span{offset: passed.offset, size: passed.size}
	for _, places := range [][]int64{{2*maxHead + 1000, back, back + 50}, {back, back + 50, back}, {back - 10, back + 20, 2*maxHead + 1000, back}} {
		f = &forwardReader{r: bytes.NewReader(b), keep: []span{kept}}
		for _, at := range places {
			if err := read(f, at, 50); err != nil {
				t.Errorf("ReadAt with a kept span, at %d of %d: %v", at, places, err)
			}
		}
	}
	if err := read(&forwardReader{r: bytes.NewReader(b[:10])}, 0, 20); err != io.ErrUnexpectedEOF {
		t.Errorf("ReadAt beyond the end: %v; want %v", err, io.ErrUnexpectedEOF)
	}
}
