package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc64"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Annotations of zstd:chunked layers, written out: these tests read and write the format without export-profile's code.
const (
	tocDigest   = "io.github.containers.zstd-chunked.manifest-checksum"
	tocPosition = "io.github.containers.zstd-chunked.manifest-position"
	splitPlace  = "io.github.containers.zstd-chunked.tarsplit-position"
)

// chunkedLayer is a zstd:chunked layer whose tables can be changed.
type chunkedLayer struct {
	blob        []byte
	annotations map[string]string
	entries     []map[string]any // of the TOC
	split       []byte           // the tar-split, not compressed
	// changed tables are written behind the blob, since clients find them by the annotations.
	tocChanged, splitChanged bool
}

var (
	tableEncoder, _ = zstd.NewWriter(nil)
	tableDecoder, _ = zstd.NewReader(nil)
)

// table decompresses one of the tables.
func (l *chunkedLayer) table(t *testing.T, annotation string) []byte {
	t.Helper()
	words := strings.Split(l.annotations[annotation], ":")
	offset, _ := strconv.Atoi(words[0])
	length, err := strconv.Atoi(words[min(1, len(words)-1)])
	if err != nil {
		t.Fatalf("annotation %s: %v", annotation, err)
	}
	b, err := tableDecoder.DecodeAll(l.blob[offset:offset+length], nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readChunkedLayer(t *testing.T, blob []byte, annotations map[string]string) *chunkedLayer {
	t.Helper()
	l := &chunkedLayer{blob: bytes.Clone(blob), annotations: maps.Clone(annotations)}
	l.split = l.table(t, splitPlace)
	d := json.NewDecoder(bytes.NewReader(l.table(t, tocPosition)))
	d.UseNumber()
	var toc struct{ Entries []map[string]any }
	if err := d.Decode(&toc); err != nil {
		t.Fatal(err)
	}
	l.entries = toc.Entries
	return l
}

// append adds bytes to the blob in a skippable frame, and returns their position.
func (l *chunkedLayer) append(b []byte) int {
	frame := binary.LittleEndian.AppendUint32([]byte{0x50, 0x2a, 0x4d, 0x18}, uint32(len(b)))
	l.blob = append(append(l.blob, frame...), b...)
	return len(l.blob) - len(b)
}

// write writes the changed tables.
func (l *chunkedLayer) write(t *testing.T) {
	t.Helper()
	var split digest.Digest
	if l.annotations[splitPlace] != "" {
		split = digest.FromBytes(l.compressed(splitPlace))
	}
	if l.splitChanged {
		b := tableEncoder.EncodeAll(l.split, nil)
		split = digest.FromBytes(b)
		l.annotations[splitPlace] = fmt.Sprintf("%d:%d:%d", l.append(b), len(b), len(l.split))
	}
	if !l.tocChanged && !l.splitChanged {
		return
	}
	toc, err := json.Marshal(map[string]any{"version": 1, "entries": l.entries, "tarSplitDigest": split})
	if err != nil {
		t.Fatal(err)
	}
	b := tableEncoder.EncodeAll(toc, nil)
	l.annotations[tocPosition] = fmt.Sprintf("%d:%d:%d:1", l.append(b), len(b), len(toc))
	l.annotations[tocDigest] = digest.FromBytes(b).String()
}

func (l *chunkedLayer) compressed(annotation string) []byte {
	words := strings.Split(l.annotations[annotation], ":")
	offset, _ := strconv.Atoi(words[0])
	length, _ := strconv.Atoi(words[1])
	return l.blob[offset : offset+length]
}

// entry returns the first entry of the TOC with a suffix of the name.
func (l *chunkedLayer) entry(t *testing.T, suffix string) map[string]any {
	t.Helper()
	l.tocChanged = true
	for _, e := range l.entries {
		if strings.HasSuffix(e["name"].(string), suffix) {
			return e
		}
	}
	t.Fatalf("the TOC has no %s", suffix)
	return nil
}

// replace makes the TOC say that a file has another content, which the blob has too, but not in its tar.
func (l *chunkedLayer) replace(t *testing.T, e map[string]any, content []byte) {
	t.Helper()
	i := slices.IndexFunc(l.entries, func(o map[string]any) bool { return o["name"] == e["name"] })
	end := i + 1
	for end < len(l.entries) && l.entries[end]["type"] == "chunk" {
		end++
	}
	l.entries = slices.Delete(l.entries, i+1, end)
	b := tableEncoder.EncodeAll(content, nil)
	at := l.append(b)
	e["offset"], e["endOffset"], e["size"], e["digest"] = at, at+len(b), len(content), digest.FromBytes(content)
	for _, key := range []string{"chunkSize", "chunkOffset", "chunkDigest", "chunkType"} {
		delete(e, key)
	}
}

// content returns the bytes of a file, which lie in one or more frames.
func (l *chunkedLayer) content(t *testing.T, e map[string]any) []byte {
	t.Helper()
	from, _ := strconv.Atoi(fmt.Sprint(e["offset"]))
	to, _ := strconv.Atoi(fmt.Sprint(e["endOffset"]))
	all, err := tableDecoder.DecodeAll(l.blob[from:to], nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := digest.FromBytes(all).String(); got != e["digest"] {
		t.Fatalf("%s has %d bytes of digest %s; the TOC says %v", e["name"], len(all), got, e["digest"])
	}
	return all
}

// checksum makes the tar-split say that a file has a content.
func (l *chunkedLayer) checksum(t *testing.T, name string, content []byte) {
	t.Helper()
	sum := crc64.Checksum(content, crc64.MakeTable(crc64.ISO))
	payload := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, sum))
	var lines []string
	for line := range strings.Lines(string(l.split)) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e["name"] == name {
			e["payload"] = payload
			b, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			line = string(b) + "\n"
			l.splitChanged = true
		}
		lines = append(lines, line)
	}
	if !l.splitChanged {
		t.Fatalf("the tar-split has no %s", name)
	}
	l.split = []byte(strings.Join(lines, ""))
}

// serve answers requests for a repository's manifests and blobs instead of the registry.
func (v *registryProxy) serve(files map[string][]byte) {
	v.fault = func(w http.ResponseWriter, r *http.Request) bool {
		b, ok := files[r.URL.Path]
		if !ok {
			return false
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		if strings.Contains(r.URL.Path, "/manifests/") {
			w.Header().Set("Content-Type", ispec.MediaTypeImageManifest)
			w.Header().Set("Docker-Content-Digest", digest.FromBytes(b).String())
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
		return true
	}
}

// TestPodmanChunkedLies checks that podman never takes a file from our layers' tables that the tar does not have:
// it refuses the image or has the tar's files. That podman checks the diffID is why our layers need a tar-split.
func TestPodmanChunkedLies(t *testing.T) {
	p := lab.user
	v := startProxy(t, startRegistry(t, ""))
	p.export(t, p.scratch(t), "image", "--profile", lab.profile, "--compression", "zstd:chunked", "docker://"+v.address+"/team/curl:v1")
	manifest := manifestOf(t, v.address, "team/curl", "v1")
	get := func(d ispec.Descriptor) []byte {
		return registryCall(t, http.MethodGet, v.address, "team/curl/blobs/"+d.Digest.String(), nil)
	}
	var config ispec.Image
	if err := json.Unmarshal(get(manifest.Config), &config); err != nil {
		t.Fatal(err)
	}
	const program = "/bin/curl"
	at := slices.IndexFunc(manifest.Layers, func(d ispec.Descriptor) bool {
		l := readChunkedLayer(t, get(d), d.Annotations)
		return slices.ContainsFunc(l.entries, func(e map[string]any) bool { return strings.HasSuffix(e["name"].(string), program) })
	})
	if at < 0 {
		t.Fatalf("no layer has %s", program)
	}
	honest := get(manifest.Layers[at])
	config.RootFS.DiffIDs, config.History = config.RootFS.DiffIDs[at:at+1], nil

	// The image that podman pulls has only this layer.
	image := func(repository string, l *chunkedLayer) map[string][]byte {
		files := make(map[string][]byte)
		add := func(b []byte, mediaType string) ispec.Descriptor {
			d := ispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
			files["/v2/"+repository+"/blobs/"+d.Digest.String()] = b
			return d
		}
		encode := func(value any) []byte {
			b, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		m := manifest
		m.Layers = []ispec.Descriptor{add(l.blob, ispec.MediaTypeImageLayerZstd)}
		m.Layers[0].Annotations = l.annotations
		m.Config = add(encode(config), ispec.MediaTypeImageConfig)
		files["/v2/"+repository+"/manifests/v1"] = encode(m)
		return files
	}
	m := startNodes(t)
	plain := newNode(t, m, false)
	unchanged := readChunkedLayer(t, honest, manifest.Layers[at].Annotations)
	v.serve(image("honest", unchanged))
	plain.pull(t, v, "honest", "v1")
	want := plain.tree(t, v.address+"/honest:v1")

	swap := func(t *testing.T, l *chunkedLayer) (e map[string]any, other []byte) {
		e = l.entry(t, program)
		other = l.content(t, e)
		other[len(other)/2] ^= 1
		l.replace(t, e, other)
		return e, other
	}
	for _, tt := range []struct {
		name string
		lie  func(t *testing.T, l *chunkedLayer)
		says string // in podman's error; "" if it has the image
	}{
		{"nothing", func(t *testing.T, l *chunkedLayer) {}, ""},
		{"tables that were written again", func(t *testing.T, l *chunkedLayer) { l.entry(t, program) }, ""},
		{"a byte of the TOC", func(t *testing.T, l *chunkedLayer) {
			b := l.compressed(tocPosition)
			b[len(b)/2] ^= 1
		}, "decompressing TOC: invalid blob checksum"},
		{"a byte of the tar-split", func(t *testing.T, l *chunkedLayer) {
			b := l.compressed(splitPlace)
			b[len(b)/2] ^= 1
		}, "decompressing tar-split: invalid blob checksum"},
		{"the digest of the TOC", func(t *testing.T, l *chunkedLayer) { l.annotations[tocDigest] = digest.FromString("x").String() }, "decompressing TOC: invalid blob checksum"},
		{"no tar-split", func(t *testing.T, l *chunkedLayer) { delete(l.annotations, splitPlace) }, "TOC requires a tar-split"},
		{"a program that is not in the tar", func(t *testing.T, l *chunkedLayer) { swap(t, l) }, "file integrity checksum failed"},
		{"a program that is not in the tar, with its checksum", func(t *testing.T, l *chunkedLayer) {
			e, other := swap(t, l)
			l.checksum(t, e["name"].(string), other)
		}, "config claims"},
		{"the content of another file", func(t *testing.T, l *chunkedLayer) { l.replace(t, l.entry(t, program), []byte("#!/bin/sh\n")) }, "mismatch of Size"},
		{"the digest of a file", func(t *testing.T, l *chunkedLayer) { l.entry(t, program)["digest"] = digest.FromString("x").String() }, "partial pull of blob"},
		{"another name", func(t *testing.T, l *chunkedLayer) {
			e := l.entry(t, program)
			e["name"] = e["name"].(string) + "x"
		}, "missing in TOC"},
		{"setuid", func(t *testing.T, l *chunkedLayer) { l.entry(t, program)["mode"] = 0o4755 }, "mismatch of Mode"},
		{"another owner", func(t *testing.T, l *chunkedLayer) { l.entry(t, program)["uid"] = 1000 }, "mismatch of UID"},
		{"behind the end of the blob", func(t *testing.T, l *chunkedLayer) {
			e := l.entry(t, program)
			e["offset"], e["endOffset"] = 1<<40, 1<<40+1000
		}, "partial pull of blob"},
		{"one name twice", func(t *testing.T, l *chunkedLayer) {
			e := maps.Clone(l.entry(t, program))
			l.entries = append(l.entries, e)
		}, "duplicate entries"},
		{"a file less", func(t *testing.T, l *chunkedLayer) {
			l.entry(t, program)
			last := len(l.entries) - 1
			l.entries = l.entries[:last]
		}, "missing in TOC"},
		{"a tar-split without its end", func(t *testing.T, l *chunkedLayer) {
			l.split, l.splitChanged = l.split[:bytes.LastIndexByte(l.split[:len(l.split)-1], '\n')+1], true
		}, "config claims"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := readChunkedLayer(t, honest, manifest.Layers[at].Annotations)
			tt.lie(t, l)
			l.write(t)
			repository := "lie/" + strings.NewReplacer(" ", "-", ",", "").Replace(strings.ToLower(tt.name))
			v.serve(image(repository, l))
			n := newNode(t, m, true)
			name := v.address + "/" + repository + ":v1"
			r := try(t, n.podman("--log-level=debug", "pull", "-q", "--tls-verify=false", name))
			if r.status() != 0 {
				t.Logf("podman refuses it: %s", podmanError(r.stderr))
				if tt.says == "" || !strings.Contains(podmanError(r.stderr), tt.says) {
					t.Errorf("podman refuses it: %s; want %q", podmanError(r.stderr), tt.says)
				}
				if r := try(t, n.podman("image", "exists", name)); r.status() == 0 {
					t.Errorf("podman has the image: %v", r)
				}
				return
			}
			if diff := cmp.Diff(want, n.tree(t, name)); diff != "" {
				t.Errorf("podman's files differ from those of the tar (-tar +podman):\n%s", diff)
			}
			if got := n.diffIDs(t, name); got != fmt.Sprintf("[%q]", config.RootFS.DiffIDs[0]) {
				t.Errorf("podman says the diffIDs %s; want %s", got, config.RootFS.DiffIDs[0])
			}
			if tt.says != "" || partialLayers(r.stderr) != 1 {
				t.Errorf("podman has the image, %d layers from parts; want %q", partialLayers(r.stderr), tt.says)
			}
		})
	}
}
