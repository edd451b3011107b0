package chunked

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/rootfs/testrun"
)

// tarOf makes a tar of headers, whose files have Size bytes each.
func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, h := range headers {
		h.ModTime, h.Format = time.Unix(1, 0), tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(randomBytes(uint64(i), int(h.Size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sampleHeaders() []tar.Header {
	return []tar.Header{
		{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o555},
		{Typeflag: tar.TypeReg, Name: "d/empty", Mode: 0o444},
		{Typeflag: tar.TypeReg, Name: "d/one", Mode: 0o444, Size: 1},
		{Typeflag: tar.TypeReg, Name: "d/block", Mode: 0o444, Size: 512},
		{Typeflag: tar.TypeReg, Name: "d/" + strings.Repeat("long", 100), Mode: 0o444, Size: 1000, Uid: 1 << 40},
		{Typeflag: tar.TypeSymlink, Name: "d/é\n\"<", Linkname: strings.Repeat("a/", 80)},
		{Typeflag: tar.TypeLink, Name: "d/hard", Linkname: "d/one", Mode: 0o444},
		{Typeflag: tar.TypeReg, Name: "d/x", Size: 3, PAXRecords: map[string]string{"SCHILY.xattr.user.a": "\x00\xff"}},
		{Typeflag: tar.TypeChar, Name: "d/null", Devmajor: 1, Devminor: 3},
		{Typeflag: tar.TypeFifo, Name: "d/fifo"},
	}
}

// scanned is what a scanner says about a tar, as text.
type scanned struct {
	Events   []string
	Contents []string
	TarSplit string
}

// scan passes a tar to a scanner in pieces of step bytes.
func scan(b []byte, step int) (s scanned, err error) {
	var split bytes.Buffer
	scanner := newScanner(&tarSplit{w: &split})
	var content []byte
	for len(b) > 0 {
		n, inFile, event, err := scanner.Next(b[:min(step, len(b))])
		if err != nil {
			return s, err
		}
		if inFile {
			content = append(content, b[:n]...)
		}
		switch event {
		case Begun:
			s.Events = append(s.Events, string(appendEntry(nil, scanner.Entry())))
		case Ended:
			s.Contents = append(s.Contents, string(content))
			content = nil
		}
		b = b[n:]
	}
	if err := scanner.Close(); err != nil {
		return s, err
	}
	s.TarSplit = split.String()
	return s, nil
}

// TestScanner compares a scanner with archive/tar.
func TestScanner(t *testing.T) {
	b := tarOf(t, sampleHeaders()...)
	var want scanned
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		e, err := newEntry(h)
		if err != nil {
			t.Fatal(err)
		}
		want.Events = append(want.Events, string(appendEntry(nil, &e)))
		if h.Size > 0 {
			content, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			want.Contents = append(want.Contents, string(content))
		}
	}
	for _, step := range []int{len(b), 1, 7, 511, 512, 513, 5000} {
		got, err := scan(b, step)
		if err != nil {
			t.Fatal(err)
		}
		if want.TarSplit == "" {
			want.TarSplit = got.TarSplit
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("in pieces of %d bytes (-want +got):\n%s", step, diff)
		}
	}
}

// TestScannerErrors checks that a scanner refuses what is no complete tar of this program.
func TestScannerErrors(t *testing.T) {
	whole := tarOf(t, sampleHeaders()...)
	if _, err := scan(nil, 1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("no tar: %v; want %v", err, io.ErrUnexpectedEOF)
	}
	for n := 0; n < len(whole)-1024; n += testrun.Of(13, 1) {
		if _, err := scan(whole[:n], 4096); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("a tar cut at %d: %v; want %v", n, err, io.ErrUnexpectedEOF)
		}
	}
	for name, change := range map[string]func([]byte){
		"checksum":     func(b []byte) { b[0]++ },
		"unknown type": func(b []byte) { setKind(b, 'g') },
		"GNU name":     func(b []byte) { setKind(b, 'L') },
		"size":         func(b []byte) { setKind(b, 'x') }, // a PAX header without records
	} {
		b := bytes.Clone(whole)
		change(b)
		if _, err := scan(b, len(b)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v; want an error", name, err)
		}
	}
	if _, err := scan(append(whole, make([]byte, 2*maxHeaders)...), 1<<16); err == nil {
		t.Error("2 MiB behind the end: no error")
	}
}

// setKind changes the type of the first header.
func setKind(b []byte, kind byte) {
	b[156] = kind
	copy(b[148:], "        ")
	sum := 0
	for _, c := range b[:blockSize] {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
}

// FuzzScanner checks that the sizes of pieces make no difference.
func FuzzScanner(f *testing.F) {
	f.Add(tarOf(f, sampleHeaders()...), 100)
	f.Add(tarOf(f), 1)
	f.Add([]byte("x"), 512)
	f.Fuzz(func(t *testing.T, b []byte, step int) {
		if step <= 0 {
			return
		}
		want, wantErr := scan(b, len(b))
		got, err := scan(b, step)
		if diff := cmp.Diff(want, got); wantErr == nil && diff != "" || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Errorf("in pieces of %d bytes: %v; want %v (-want +got):\n%s", step, err, wantErr, diff)
		}
	})
}
