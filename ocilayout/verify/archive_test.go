package verify

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/ocilayout"
)

// entry is a file of an archive, or a symbolic link if it has a target.
type entry struct{ name, content, target string }

func archiveOf(t testing.TB, entries ...entry) *ocilayout.ArchiveFile {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: tar.TypeReg, Size: int64(len(e.content)), Linkname: e.target}
		if e.target != "" {
			h.Typeflag = tar.TypeSymlink
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	a, err := ocilayout.OpenArchiveFile(t.Context(), "a.tar", bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestReadArchiveDocker checks that ReadArchive reads the archives that docker save has written over the years,
// and reports damaged ones.
func TestReadArchiveDocker(t *testing.T) {
	layer := string(tarOf(t, dir("d/", 0o755)))
	other := string(tarOf(t, dir("e/", 0o755)))
	config := fmt.Sprintf(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[%q,%q]}}`,
		digest.FromString(layer), digest.FromString(layer))
	id := digest.FromString(config).Encoded()
	manifest := func(config string, layers ...string) string {
		return fmt.Sprintf(`[{"Config":%q,"RepoTags":["hello:v1"],"Layers":["%s"]}]`, config, strings.Join(layers, `","`))
	}
	hex := digest.FromString(layer).Encoded()
	good := manifest(id+".json", "1/layer.tar", "2/layer.tar")
	conf := entry{id + ".json", config, ""}
	one, two := entry{"1/layer.tar", layer, ""}, entry{"2/layer.tar", "", "../1/layer.tar"}
	for _, tt := range []struct {
		name    string
		entries []entry
		want    string // part of the only problem, or "" for none
	}{
		{"old, with a link", []entry{one, two, conf, {"manifest.json", good, ""}}, ""},
		{"skopeo's", []entry{{hex + ".tar", layer, ""}, conf, {"manifest.json", manifest(id+".json", hex+".tar", hex+".tar"), ""}}, ""},
		{"new", []entry{{"blobs/sha256/" + hex, layer, ""}, {"blobs/sha256/" + id, config, ""},
			{"manifest.json", manifest("blobs/sha256/"+id, "blobs/sha256/"+hex, "blobs/sha256/"+hex), ""}}, ""},
		{"other layer", []entry{{"1/layer.tar", other, ""}, {"2/layer.tar", layer, ""}, conf, {"manifest.json", good, ""}},
			"layer 1: 1/layer.tar: is " + digest.FromString(other).String() + " once decompressed"},
		{"missing layer", []entry{one, conf, {"manifest.json", good, ""}}, `layer 2, "2/layer.tar", is missing`},
		{"link out of the archive", []entry{one, {"2/layer.tar", "", "../../etc/passwd"}, conf, {"manifest.json", good, ""}}, `layer 2, "2/layer.tar", is missing`},
		{"missing config", []entry{one, two, {"manifest.json", good, ""}}, "is missing"},
		{"other config", []entry{one, two, {id + ".json", config + " ", ""}, {"manifest.json", good, ""}}, "has the digest sha256:"},
		{"config twice", []entry{one, two, conf, conf, {"manifest.json", good, ""}}, "occurs twice"},
		{"absolute path", []entry{one, two, conf, {"/etc/passwd", "x", ""}, {"manifest.json", good, ""}}, "/etc/passwd: is an absolute path"},
		{"invalid JSON", []entry{one, two, conf, {"manifest.json", `{`, ""}}, "manifest.json: unexpected end"},
		{"too few layers", []entry{one, two, conf, {"manifest.json", manifest(id+".json", "1/layer.tar"), ""}}, "has 2 items, but the manifest has 1 layers"},
	} {
		c, err := ReadArchive(t.Context(), archiveOf(t, tt.entries...), true, "")
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		r, err := c.Check(t.Context(), Options{})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var lines []string
		for _, p := range r.Problems {
			lines = append(lines, p.String())
		}
		if tt.want == "" && (len(lines) > 0 || len(r.Images) != 1 || r.Images[0].Layers != 2) {
			t.Errorf("%s: images %+v, problems %q; want one image with two layers and no problem", tt.name, r.Images, lines)
		}
		if tt.want != "" {
			wantOne(t, tt.name, lines, tt.want)
		}
	}
	whole := archiveOf(t, one, two, conf, entry{"manifest.json", good, ""})
	for _, tt := range []struct {
		docker bool
		tag    string
		ok     bool
	}{{true, "hello:v1", true}, {true, "v1", true}, {true, "v2", false}, {false, "", false}} {
		_, err := ReadArchive(t.Context(), whole, tt.docker, tt.tag)
		if tt.ok != (err == nil) || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadArchive(%v, %q) = %v; want success: %v, or %v", tt.docker, tt.tag, err, tt.ok, fs.ErrNotExist)
		}
	}
	if _, err := ReadArchive(t.Context(), archiveOf(t, one), true, ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadArchive of an archive without an image = %v; want %v", err, fs.ErrNotExist)
	}
}

// FuzzReadArchive checks that any manifest.json is refused or leads to a report.
func FuzzReadArchive(f *testing.F) {
	config := `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}`
	for _, m := range []string{
		`[{"Config":"c.json","RepoTags":["hello:v1"],"Layers":["l"]}]`, `[{"Config":"../c.json","Layers":["/l","l/../l"]}]`,
		`[{"Config":"c.json"},{"Config":"c.json","Layers":["l","l"]}]`, `[{"Config":"l","RepoTags":null,"Layers":null}]`, `{}`, `[null]`, `[`,
	} {
		f.Add(m, config)
	}
	layer := string(tarOf(f, dir("d/", 0o755)))
	f.Fuzz(func(t *testing.T, manifest, config string) {
		c, err := ReadArchive(t.Context(), archiveOf(t, entry{"manifest.json", manifest, ""}, entry{"c.json", config, ""}, entry{"l", layer, ""}), true, "")
		if err != nil {
			return
		}
		if _, err := c.Check(t.Context(), Options{}); err != nil {
			t.Error(err)
		}
	})
}
