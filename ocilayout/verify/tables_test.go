package verify

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/chunked"
	"github.com/export-profile/export-profile/ocilayout/compress"
)

// chunkedLayer returns a zstd:chunked layer, where its tables are, and its diffID.
func chunkedLayer(t *testing.T, tarball []byte) ([]byte, chunked.Location, digest.Digest) {
	t.Helper()
	z, err := compress.Parse("zstd:chunked")
	if err != nil {
		t.Fatal(err)
	}
	var blob bytes.Buffer
	r, err := compress.NewPool(z, 1).Pack(t.Context(), &blob, func(_ context.Context, s *compress.Stream) error {
		_, err := s.Write(tarball)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return blob.Bytes(), r.Tables, digest.FromBytes(tarball)
}

// lie returns a blob whose TOC is another, with the annotations for it.
func lie(t *testing.T, blob []byte, l chunked.Location, change func(toc string) string) ([]byte, chunked.Location) {
	t.Helper()
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	at := func(s chunked.Span) []byte { return blob[s.Offset : s.Offset+s.Length] }
	toc, err := z.DecodeAll(at(l.TOC), nil)
	if err != nil {
		t.Fatal(err)
	}
	changed := change(string(toc))
	if changed == string(toc) {
		t.Fatalf("the TOC is unchanged: %s", toc)
	}
	packed := w.EncodeAll([]byte(changed), nil)
	n := chunked.Location{Digest: digest.FromBytes(packed), TOC: chunked.Span{Offset: l.TOC.Offset, Length: int64(len(packed)), Uncompressed: int64(len(changed))}, TarSplit: l.TarSplit}
	n.TarSplit.Offset = n.TOC.Offset + n.TOC.Length + 8
	out := bytes.Clone(blob[:l.TOC.Offset-8])
	for _, content := range [][]byte{packed, at(l.TarSplit), n.Footer()} {
		out = append(out, "\x50\x2A\x4D\x18"...)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(content)))
		out = append(out, content...)
	}
	return out, n
}

// imageOf returns the manifest of an image with one layer.
func (m memory) imageOf(t *testing.T, layer ispec.Descriptor, diffID digest.Digest) ispec.Descriptor {
	t.Helper()
	config := m.put(ispec.MediaTypeImageConfig, fmt.Sprintf(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[%q]}}`, diffID))
	manifest, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": ispec.MediaTypeImageManifest, "config": config, "layers": []ispec.Descriptor{layer}})
	if err != nil {
		t.Fatal(err)
	}
	return m.put(ispec.MediaTypeImageManifest, string(manifest))
}

// TestTables checks that annotations and tables that lie are problems of their layer, in an image of any program.
func TestTables(t *testing.T) {
	content := strings.Repeat("\x00", 7000)
	tarball := tarOf(t, dir("d/", 0o755), reg("d/a", int64(len(content))))
	honest, tables, diffID := chunkedLayer(t, tarball)
	without := func(key string) map[string]string {
		m := tables.Annotations()
		delete(m, key)
		return m
	}
	with := func(key, value string) map[string]string {
		m := tables.Annotations()
		m[key] = value
		return m
	}
	false1, tables1 := lie(t, honest, tables, func(toc string) string {
		return strings.Replace(toc, digest.FromString(content).String(), digest.FromString("x").String(), 1)
	})
	false2, tables2 := lie(t, honest, tables, func(toc string) string { return strings.Replace(toc, `"version":1`, `"version":2`, 1) })
	false3, tables3 := lie(t, honest, tables, func(toc string) string { return strings.Replace(toc, `"mode":292`, `"mode":2541`, 1) })
	zstdType := ispec.MediaTypeImageLayerZstd
	for _, tt := range []struct {
		name        string
		blob        []byte
		mediaType   string
		annotations map[string]string
		want        string // in the only problem
	}{
		{"honest", honest, zstdType, tables.Annotations(), ""},
		{"other annotations beside", honest, zstdType, with("org.example", "x"), ""},
		{"no annotations", honest, zstdType, nil, ""},
		{"only eStargz", honest, zstdType, map[string]string{annotationStargz: "x"}, ""},
		{"eStargz, too", honest, zstdType, with(annotationStargz, "x"), "has the tables of zstd:chunked and of eStargz"},
		{"no TOC digest", honest, zstdType, without(chunked.AnnotationTOCDigest), "is no SHA-256 digest"},
		{"no TOC position", honest, zstdType, without(chunked.AnnotationTOC), `"" is no position`},
		{"no tar-split position", honest, zstdType, without(chunked.AnnotationTarSplit), `"" is no position`},
		{"position beyond the blob", honest, zstdType, with(chunked.AnnotationTOC, fmt.Sprintf("%d:10:10:1", len(honest))), "are not in the blob"},
		{"another position", honest, zstdType, with(chunked.AnnotationTOC, "100:10:10:1"), "TOC: no skippable frame has the 10 bytes from byte 100 on"},
		{"another digest", honest, zstdType, with(chunked.AnnotationTOCDigest, digest.FromString("x").String()), "TOC: it has the digest"},
		{"plain tar", tarball, ispec.MediaTypeImageLayer, map[string]string{
			chunked.AnnotationTOCDigest: diffID.String(), chunked.AnnotationTOC: "0:10:10:1", chunked.AnnotationTarSplit: "10:10:10",
		}, "has the tables of zstd:chunked, but the media type"},
		{"file digest", false1, zstdType, tables1.Annotations(), `"d/a": in the TOC: has the digest`},
		{"version", false2, zstdType, tables2.Annotations(), "the version 2 is not supported"},
		{"mode", false3, zstdType, tables3.Annotations(), `"d/a": in the TOC: its mode is 4755, but 0444 in the tar`},
	} {
		m := memory{}
		layer := m.put(tt.mediaType, string(tt.blob))
		layer.Annotations = tt.annotations
		_, lines := checkAll(t, m, m.imageOf(t, layer, diffID))
		if tt.want == "" && len(lines) > 0 {
			t.Errorf("%s: problems %q; want none", tt.name, lines)
		} else if tt.want != "" {
			wantOne(t, tt.name, lines, tt.want)
		}
	}

	// A layer that two images share is checked with the annotations of each.
	m := memory{}
	layer := m.put(zstdType, string(honest))
	layer.Annotations = tables.Annotations()
	first := m.imageOf(t, layer, diffID)
	layer.Annotations = with(chunked.AnnotationTOC, "100:10:10:1")
	_, lines := checkAll(t, m, first, m.imageOf(t, layer, diffID))
	wantOne(t, "two images", lines, "TOC: no skippable frame")
}
