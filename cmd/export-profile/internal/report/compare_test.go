package report

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPairLayers checks which layers stand side by side.
func TestPairLayers(t *testing.T) {
	object := func(hash, name string, size int64) Object {
		return Object{Path: strings.Repeat(hash, 32) + "-" + name + "-1", Name: name + "-1", Package: name, Version: "1", Size: size, Predecessor: None, Dominator: None}
	}
	r := &Report{
		Objects: []Object{object("a", "curl", 10), object("b", "git", 70), object("c", "perl", 50), object("d", "vim", 5)},
		Layers: []Layer{
			{Title: "layer 1", State: StateBase},
			{Title: "layer 2", State: StateNew, Parts: []Part{{Object: 1}}},              // git
			{Title: "layer 3", State: StateKept, Parts: []Part{{Object: 0}}},             // curl
			{Title: "layer 4", State: StateNew, Parts: []Part{{Object: 2}, {Object: 3}}}, // perl, vim
			{Title: "layer 5", State: StateNew, Parts: []Part{{None, "files beside the store", 1}}},
		},
		Previous: &Previous{Objects: []Object{object("e", "git", 60), object("f", "perl", 50), object("0", "vim", 5), object("1", "gone", 9)}},
	}
	path := func(i int) string { return r.Previous.Objects[i].Path }
	r.Previous.Layers = []PreviousLayer{
		{"layer 1", 1, []string{path(1), path(0)}, nil, None}, // perl, git: git has more bytes in common
		{"layer 2", 1, []string{path(2)}, nil, None},          // vim
		{"layer 3", 1, nil, nil, 2},
		{"layer 4", 1, []string{path(3)}, nil, None},
	}
	want := []layerPair{{None, 0, "same"}, {0, 1, "replaced"}, {2, 2, "same"}, {1, 3, "replaced"}, {None, 4, "new"}, {3, None, "gone"}}
	got := r.pairLayers()
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(layerPair{})); diff != "" {
		t.Errorf("pairs (-want +got):\n%s", diff)
	}
	moved := PreviousLayer{Moved: []string{r.Objects[2].Path, r.Objects[0].Path}} // perl, which is in the layer in its place, and curl
	if diff := cmp.Diff([]string{r.Objects[0].Path}, r.movedFrom(moved, 3)); diff != "" {
		t.Errorf("in other layers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(moved.Moved, r.movedFrom(moved, None)); diff != "" {
		t.Errorf("in other layers, of a layer that is gone (-want +got):\n%s", diff)
	}
	r.Image.Digest = "sha256:0123" // of an existing image, base layers are layers like others
	if got := r.pairLayers(); got[0] != (layerPair{None, 0, "new"}) {
		t.Errorf("a base layer that only the new image has is %+v", got[0])
	}
}

// TestPathChanges checks how store paths are paired: by package and output, whatever their versions are.
func TestPathChanges(t *testing.T) {
	object := func(hash, name, version string, size int64) Object {
		return Object{Path: strings.Repeat(hash, 32) + "-" + name + "-" + version, Name: name + "-" + version, Package: name, Version: version, Size: size}
	}
	r := &Report{
		Objects: []Object{
			object("a", "openssl", "3.1", 100), object("b", "openssl", "3.1-bin", 50), object("c", "openssl", "3.1-dev", 30),
			object("d", "glibc", "2.40-66", 400), object("e", "curl", "8.1", 20), object("f", "new", "1", 7), object("0", "same", "1", 5), object("1", "altered", "1", 9),
		},
		Previous: &Previous{
			Objects: []Object{
				object("2", "openssl", "3.0-bin", 40), object("3", "openssl", "3.0", 101), object("4", "openssl", "3.0-doc", 3),
				object("5", "glibc", "2.39-52", 300), object("6", "curl", "8.1", 20), object("0", "same", "1", 5), object("1", "altered", "1", 8),
			},
			Altered: []int{7},
		},
	}
	var got []string
	for _, c := range r.pathChanges() {
		line := c.what
		for _, o := range []*Object{c.before, c.now} {
			if line += " –"; o != nil {
				line = strings.TrimSuffix(line, "–") + o.Name
			}
		}
		got = append(got, fmt.Sprint(line, " ", c.difference()))
	}
	want := []string{
		"updated glibc-2.39-52 glibc-2.40-66 100", "added – openssl-3.1-dev 30", "updated openssl-3.0-bin openssl-3.1-bin 10",
		"added – new-1 7", "removed openssl-3.0-doc – -3", "altered altered-1 altered-1 1", "updated openssl-3.0 openssl-3.1 -1", "rebuilt curl-8.1 curl-8.1 0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// TestFetch checks the sentences and bars about what a node fetches.
func TestFetch(t *testing.T) {
	for _, tt := range []struct {
		fetch Fetch
		want  string
	}{
		{Fetch{Layers: 3 << 20, Had: 1 << 20}, `<rect class="whole" x="0.00" width="75.00" height="1"/></svg><span class="percent">75.0 %`},
		{Fetch{Layers: 3 << 20, Had: 1 << 20}, "No layer that it lacks has chunks."},
		{Fetch{Layers: 3 << 20, Had: 1 << 20, Chunks: &FetchChunks{1 << 20, 1 << 18, 1 << 17, 3}},
			`<rect class="contents" x="0.00" width="25.00" height="1"/><rect class="tables" x="25.00" width="6.25" height="1"/><rect class="whole" x="31.25" width="3.12" height="1"/>`},
		{Fetch{Layers: 3 << 20, Had: 1 << 20, Chunks: &FetchChunks{1 << 20, 1 << 18, 1 << 17, 3}}, "1.0 MiB of files in 3 ranges"},
		{Fetch{Layers: 3 << 20, ChunksUnknown: "no <ranges>"}, "What it fetches by chunks is unknown: no &lt;ranges&gt;."},
		{Fetch{Had: 1 << 20}, `<td class="number">0.0 KiB</td>`},
		{Fetch{Had: 1 << 20, Layers: 1 << 21, Unbuilt: 1, Unpacked: 1 << 22}, "keeps 1.0 MiB. It fetches 1 layer that is not built yet, of 4.0 MiB unpacked, and 2.0 MiB of others."},
	} {
		r := sample()
		r.Previous.Fetch = tt.fetch
		if page := write(t, r); !strings.Contains(page, tt.want) {
			t.Errorf("%+v: the page lacks %q", tt.fetch, tt.want)
		}
	}
}

// TestManyChanges checks that a page with many changes begins with the largest, and folds the others without losing any.
func TestManyChanges(t *testing.T) {
	r := sample()
	r.Previous.Changes = nil
	for i := range 30 {
		r.Previous.Changes = append(r.Previous.Changes, Change{fmt.Sprintf("package-%02d", i), []string{"1"}, []string{"2"}, 1 << 30, 1<<30 - int64(i)<<20})
	}
	page := write(t, r)
	most, others, ok := strings.Cut(page, `<details class="contents"><summary>20 more packages</summary>`)
	if !ok || strings.Count(most, `<td class="change changed">`) != 10 || strings.Count(others, `<td class="change changed">`) != 20 {
		t.Fatal("the page does not fold 20 of 30 packages")
	}
	for _, order := range []struct{ in, a, b string }{{most, "package-29", "package-20"}, {others, "package-00", "package-19"}} {
		if a, b := strings.Index(order.in, `row">`+order.a), strings.Index(order.in, `row">`+order.b); a < 0 || b < a {
			t.Errorf("%s is at %d, and %s at %d", order.a, a, order.b, b)
		}
	}
}

// TestByLicence checks the rows of licences: the largest first, and what is not known last.
func TestByLicence(t *testing.T) {
	r := sample()
	r.Licensed = true
	r.Objects[0].Licence, r.Objects[1].Licence, r.Objects[2].Licence = "MIT", "Apache-2.0", "MIT"
	page := write(t, r)
	_, page, _ = strings.Cut(page, `<section id="licences">`)
	page, _, _ = strings.Cut(page, "</section>")
	at := -1
	for _, row := range []string{
		`<tr><th scope="row">MIT</th><td class="number">31.0 MiB</td>`, `<tr><th scope="row">Apache-2.0</th><td class="number">5.0 MiB</td>`,
		`<tr><th scope="row">not known</th><td class="number">40.0 MiB</td>`,
	} {
		next := strings.Index(page, row)
		if next <= at {
			t.Errorf("row %s is at %d, and the one before it at %d", row, next, at)
		}
		at = next
	}
	for _, want := range []string{`<td class="number">2</td><td><ul class="packed"><li><button type="button" class="pick" data-object="0">libc-2.39</button></li><li><button`, `<span class="percent">6.6 %</span>`} {
		if !strings.Contains(page, want) {
			t.Errorf("the licences lack %q: %s", want, page)
		}
	}
}
