package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"
)

// foreignImage implements the script command
//
//	foreign DIR TAG CONFIG LAYER…
//
// It makes a layout with one image such as other programs make. CONFIG is its config without the layers,
// and each line of a LAYER is "d DIR", "f FILE CONTENT" (0644), "x FILE CONTENT" (0755), "l LINK -> TARGET",
// "h HARDLINK -> TARGET", "w HIDDEN" or "o OPAQUE". In CONTENT, | ends a line.
func foreignImage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: foreign DIR TAG CONFIG LAYER…")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Join(dir, "blobs/sha256"), 0o755))
	blob := func(mediaType string, b []byte) ispec.Descriptor {
		d := digest.FromBytes(b)
		ts.Check(os.WriteFile(filepath.Join(dir, "blobs/sha256", d.Encoded()), b, 0o644))
		return ispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(b))}
	}
	object := func(mediaType string, v any) ispec.Descriptor {
		b, err := json.Marshal(v)
		ts.Check(err)
		return blob(mediaType, b)
	}
	config := make(map[string]any)
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[2])), &config))
	m := ispec.Manifest{MediaType: ispec.MediaTypeImageManifest}
	m.SchemaVersion = 2
	var diffIDs []digest.Digest
	for _, file := range args[3:] {
		plain, packed := new(bytes.Buffer), new(bytes.Buffer)
		z := gzip.NewWriter(packed)
		w := tar.NewWriter(io.MultiWriter(plain, z))
		for line := range strings.Lines(ts.ReadFile(file)) {
			ts.Check(writeForeign(w, strings.TrimSuffix(line, "\n")))
		}
		ts.Check(w.Close())
		ts.Check(z.Close())
		diffIDs = append(diffIDs, digest.FromBytes(plain.Bytes()))
		m.Layers = append(m.Layers, blob(ispec.MediaTypeImageLayerGzip, packed.Bytes()))
	}
	config["rootfs"] = map[string]any{"type": "layers", "diff_ids": diffIDs}
	m.Config = object(ispec.MediaTypeImageConfig, config)
	desc := object(m.MediaType, m)
	desc.Annotations = map[string]string{ispec.AnnotationRefName: args[1]}
	index := ispec.Index{MediaType: ispec.MediaTypeImageIndex, Manifests: []ispec.Descriptor{desc}}
	index.SchemaVersion = 2
	b, err := json.Marshal(index)
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(dir, "index.json"), b, 0o644))
	ts.Check(os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
}

func writeForeign(w *tar.Writer, line string) error {
	kind, rest, _ := strings.Cut(line, " ")
	name, content, _ := strings.Cut(rest, " ")
	h := tar.Header{Name: name, Mode: 0o755, Typeflag: tar.TypeReg}
	switch kind {
	case "d":
		h.Typeflag = tar.TypeDir
	case "f":
		h.Mode = 0o644
	case "l", "h":
		h.Typeflag = map[string]byte{"l": tar.TypeSymlink, "h": tar.TypeLink}[kind]
		h.Linkname, content = strings.TrimPrefix(content, "-> "), ""
	case "w":
		dir, base := filepath.Split(name)
		h.Name = dir + ".wh." + base
	case "o":
		h.Name += "/.wh..wh..opq"
	}
	content = strings.ReplaceAll(content, "|", "\n")
	h.Size = int64(len(content))
	if err := w.WriteHeader(&h); err != nil {
		return err
	}
	_, err := io.WriteString(w, content)
	return err
}
