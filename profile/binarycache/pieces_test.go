package binarycache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/export-profile/export-profile/profile/decompress"
)

// TestPieces checks a NAR of several frames that workers decompress: whole, damaged, left while the server sends nothing,
// and broken off by the server in a later frame than the damaged one.
func TestPieces(t *testing.T) {
	content := make([]byte, 3*minPieces)
	for i, x := 0, uint32(1); i < len(content); i++ { // what zstd cannot make smaller
		x = x*1664525 + 1013904223
		content[i] = byte(x >> 24)
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	f := make(files)
	n := f.object(t, smallPath, "none", content)
	n.Compression = "zstd"
	var packed []byte
	for part := range slices.Chunk(f[n.URL], 2<<20) {
		packed = z.EncodeAll(part, packed)
	}
	f.add(n, packed)
	o := quickOptions()
	o.Workers, o.Attempts = decompress.NewWorkers(fewWorkers+1), 1
	for range 3 {
		if got, err := readFile(t.Context(), open(t, f.dir(t), o), smallPath); !bytes.Equal(got, content) || err != nil {
			t.Errorf("%d bytes, %v; want %d, <nil>", len(got), err, len(content))
		}
	}
	location := serve(t, f)
	if got, err := readFile(t.Context(), open(t, location, o), smallPath); !bytes.Equal(got, content) || err != nil {
		t.Errorf("from a server: %d bytes, %v; want %d, <nil>", len(got), err, len(content))
	}

	damaged := bytes.Clone(packed)
	damaged[len(packed)*2/5] ^= 1
	breaks := func(b []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			_, _ = w.Write(b[:len(b)*3/5])
			panic(http.ErrAbortHandler)
		}
	}
	for range 5 {
		s := open(t, serve(t, &faulty{Handler: f, name: n.URL, times: 1 << 20, then: breaks(damaged)}), o)
		_, err := readFile(t.Context(), s, smallPath)
		var e *NARError
		if !errors.As(err, &e) || !e.Damaged() || !strings.Contains(err.Error(), "CRC") {
			t.Errorf("damaged, and broken off after that: %v; want a NARError about a checksum", err)
		}
	}
	s := open(t, serve(t, &faulty{Handler: f, name: n.URL, times: 1 << 20, then: breaks(packed)}), o)
	var e *NARError
	if _, err := readFile(t.Context(), s, smallPath); !errors.As(err, &e) || e.Damaged() {
		t.Errorf("broken off: %v; want a NARError about the transfer", err)
	}

	stalls := func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(packed[:len(packed)*3/5])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	o.Stall = 30 * time.Second
	s = open(t, serve(t, &faulty{Handler: f, name: n.URL, times: 1 << 20, then: stalls}), o)
	begin := time.Now()
	for e, err := range s.Files(t.Context(), smallPath) {
		if err != nil {
			t.Fatal(err)
		}
		if !e.IsRegular() {
			continue
		}
		r, err := e.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, r, minPieces); err != nil {
			t.Error(err)
		}
		break
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("a walk that stopped early took %v", took)
	}
}
