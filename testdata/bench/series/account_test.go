package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/ocilayout/chunked"
	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/rootfs"
)

// sized is a layer whose blob has as many bytes as its name, and its object ten times as many.
func sized(name string) layer {
	size := int64(len(name))
	return layer{id: name, claim: history.Claim{Objects: []history.Object{{Name: name, Size: 10 * size}}}, blob: blob{Size: size}}
}

func releaseOf(names string) (r release) {
	for _, name := range strings.Fields(names) {
		r = append(r, sized(name))
	}
	return r
}

// TestAccount checks the sums. A node forgets layers that a release lacks, and fetches a layer once that two images have.
func TestAccount(t *testing.T) {
	releases := []release{
		releaseOf("a bb ccc ccc"), // 6
		releaseOf("a bb dddd"),    // 4
		releaseOf("a bb dddd"),    // 0
		releaseOf("bb ccc"),       // 3, the second time
		releaseOf("a bb"),         // 1
		releaseOf("eeeee"),        // 5
	}
	var got totals
	if err := got.account(releases, wholeLayers); err != nil {
		t.Fatal(err)
	}
	want := totals{First: 6, Weekly: []int64{4, 0, 3, 1, 5}, EachWeek: 13, Fourth: 0, Registry: 15, Build: 150}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("account (-want +got):\n%s", d)
	}
	fourth, err := follow(append(releases, releases[:3]...), 4, wholeLayers)
	if d := cmp.Diff([]int64{6, 0, 4}, fourth); d != "" || err != nil {
		t.Errorf("every fourth (-want +got), %v:\n%s", err, d)
	}
	failing := errors.New("no TOC")
	if err := got.account(releases, func(_, _ []layer) (int64, error) { return 0, failing }); !errors.Is(err, failing) {
		t.Errorf("account with a fetcher that fails: %v", err)
	}
}

// TestTable checks ratios and the best peer, which is neither ours nor a bound.
func TestTable(t *testing.T) {
	r := result{images: 1, rows: []row{
		{strategy{name: "ours", ours: true}, totals{First: 9e6, EachWeek: 1e6, Fourth: 2e6, Registry: 6e6, Unused: 0.05, MaxUnused: 0.09, EndLayer: 3, MaxLayer: 4, Build: 5.4e9}},
		{strategy{name: "peer"}, totals{EachWeek: 4e6, Fourth: 10e6, Registry: 3e6}},
		{strategy{name: "other"}, totals{EachWeek: 8e6, Fourth: 5e6, Registry: 12e6}},
		{strategy{name: "bound", bound: true}, totals{EachWeek: 2e6, Fourth: 1e6, Registry: 1e6}},
	}}
	lines := strings.Split(r.table(), "\n")
	want := []string{
		"| ours | 9.0 | 1.0 | 0.25 | 2.0 | 0.40 | 6.0 | 2.00 | 5.0 (9.0) % | 3 (4) | 5.4 |",
		"| peer | 0.0 | 4.0 | 1.00 | 10.0 | 2.00 | 3.0 | 1.00 | – | 0 (0) | 0.0 |",
		"| other | 0.0 | 8.0 | 2.00 | 5.0 | 1.00 | 12.0 | 4.00 | – | 0 (0) | 0.0 |",
		"| bound | 0.0 | 2.0 | 0.50 | 1.0 | 0.20 | 1.0 | 0.33 | – | 0 (0) | 0.0 |",
	}
	if d := cmp.Diff(want, lines[2:len(lines)-1]); d != "" {
		t.Errorf("table (-want +got):\n%s", d)
	}
	if columns := strings.Count(lines[0], "|"); columns != strings.Count(lines[1], "|") || columns != strings.Count(lines[2], "|") {
		t.Errorf("table: rows differ in length:\n%s", r.table())
	}
	r.rows[0].Took = buildTime{Clock: 100 * time.Second, CPU: 170 * time.Second}
	timed := strings.Split(r.table(), "\n")
	if timed[2] != want[0]+" 100 (170) |" || timed[0] != lines[0]+" build time (CPU), s |" || timed[1] != lines[1]+"---|" || timed[5] != want[3]+" 0 (0) |" {
		t.Errorf("table with times:\n%s", r.table())
	}
}

// TestRun runs strategies of a small year, twice: the second time every blob is known, and the totals are equal.
// It checks that what a node fetches by chunks is less than whole layers, and no layer is lost.
func TestRun(t *testing.T) {
	y := newYear(testUniverse(6), 3, 2, 1)
	dir := t.TempDir()
	first, second := runAll(t, y, dir), runAll(t, y, dir)
	if d := cmp.Diff(first, second, cmp.AllowUnexported(result{}), cmp.FilterValues(func(a, b row) bool { return true },
		cmp.Comparer(func(a, b row) bool { return a.name == b.name && cmp.Equal(a.totals, b.totals) }))); d != "" {
		t.Errorf("a second run (-first +second):\n%s", d)
	}
	byName := make(map[string]totals)
	for _, r := range first.rows {
		byName[r.name] = r.totals
		if r.First <= 0 || r.EachWeek <= 0 || r.Registry < r.First || r.EndLayer < 1 {
			t.Errorf("%s: %+v", r.name, r.totals)
		}
	}
	whole, chunks := byName["export-profile `--previous`"], byName["export-profile, zstd:chunked, `--previous`"]
	if chunks.EachWeek >= whole.EachWeek || chunks.Registry != whole.Registry {
		t.Errorf("by chunks a node pulls %d bytes, and by layers %d; the registry has %d and %d", chunks.EachWeek, whole.EachWeek, chunks.Registry, whole.Registry)
	}
	if n := byName["one layer, and one of links"].MaxLayer; n != 2 {
		t.Errorf("one layer: %d layers", n)
	}

	svg := chart([]result{first, first})
	if svg != chart([]result{second, second}) {
		t.Error("the chart of equal results differs")
	}
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("the chart is not XML: %v", err)
		}
	}
	if n := strings.Count(svg, "<polyline"); n != 2*len(first.rows) {
		t.Errorf("the chart has %d lines; want %d", n, 2*len(first.rows))
	}
}

func runAll(t *testing.T, y year, dir string) result {
	t.Helper()
	b, err := newBuilder(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := result{images: len(y.weeks[0])}
	for _, s := range strategies(nil) {
		totals, err := s.run(t.Context(), y, b)
		if err != nil {
			t.Fatal(err)
		}
		r.rows = append(r.rows, row{s, totals})
	}
	return r
}

// TestByChunks compares our sum of chunks with that of the product, for two layers with a part in common.
func TestByChunks(t *testing.T) {
	u := testUniverse(4)
	b, err := newBuilder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := make(state, len(u.packages))
	old := u.image(s, u.digests(s), u.roots[:3])
	s[u.find("libssl3")] = 1
	next := u.image(s, u.digests(s), u.roots[:3])
	before, after := newLayer(old.parts(), nil), newLayer(next.parts(), nil)
	for _, l := range []*layer{&before, &after} {
		if err := b.build(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	got, err := b.byChunks([]layer{before}, []layer{after})
	if err != nil {
		t.Fatal(err)
	}
	tables := after.blob.Tables.TOC.Length + after.blob.Tables.TarSplit.Length
	all, err := b.byChunks(nil, []layer{after})
	if err != nil || got <= tables || got >= all || all > after.blob.Size {
		t.Errorf("by chunks: %d bytes; want more than the tables (%d), and less than all chunks (%d), which are in the blob (%d); %v", got, tables, all, after.blob.Size, err)
	}
	plain := sized("without tables")
	if plain.blob.Tables != (chunked.Location{}) {
		t.Fatal("the layer has tables")
	}
	if n, err := b.byChunks([]layer{before, plain}, []layer{plain}); n != plain.blob.Size || err != nil {
		t.Errorf("a layer without tables: %d, %v; want its size", n, err)
	}
}

// TestLimits checks that no plan but the one that runtimes refuse has more layers than they mount.
func TestLimits(t *testing.T) {
	var lines []string
	for n := range 200 {
		lines = append(lines, strings.Repeat("x", n+1)+":1")
	}
	m := image{store: graphOf(lines...), top: graphOf("profile:1")}
	for _, p := range m.store {
		m.roots = append(m.roots, p.Root)
	}
	for _, s := range strategies(nil) {
		layers, _, _, err := s.plan(m, nil)
		if err != nil {
			t.Fatal(err)
		}
		limit := 125
		switch {
		case s.bound:
			limit = 201
		case s.ours:
			limit = plan.MaxLayers
		}
		parts := 0
		for _, l := range layers {
			parts += len(l.parts)
		}
		if len(layers) > limit || parts != 201 {
			t.Errorf("%s: %d layers of %d parts; want at most %d, and 201 parts", s.name, len(layers), parts, limit)
		}
	}
}

// TestCompose compares composed layers with those that the product builds, by the digest of the TOC.
func TestCompose(t *testing.T) {
	u := testUniverse(4)
	random := rand.NewChaCha8([32]byte{1})
	for i, size := range []int{blockBytes + 1, blockBytes - 3000, 9 << 20, 2 << 20, blockBytes, 100} { // around the ends of blocks
		content := make([]byte, size)
		_, _ = random.Read(content[:size/2])
		p := u.packages[i]
		p.files = append(p.files, file{entry: rootfs.File("/zz", 0o444, int64(size), nil), content: content},
			file{entry: rootfs.File("/zzz", 0o444, 0, nil)})
	}
	many := u.packages[5] // headers that fill a block
	for n := range 6000 {
		many.files = append(many.files, file{entry: rootfs.Link(fmt.Sprintf("/zzzz%04d", n), "<&é>")})
	}
	b, err := newBuilder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := make(state, len(u.packages))
	s[1] = 2
	m := u.image(s, u.digests(s), u.roots)
	for _, parts := range [][]rootfs.Part{m.store, m.store[1:3], m.store[3:]} {
		composed, built := newLayer(parts, nil), newLayer(parts, nil)
		if err := b.build(t.Context(), &composed); err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.construct(t.Context(), &built); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(built.blob, composed.blob); d != "" || composed.blob.Size == 0 {
			t.Errorf("%d parts (-built +composed):\n%s", len(parts), d)
		}
	}
	if b.composed != 3 || b.built != len(m.store) {
		t.Errorf("composed %d layers and built %d; want 3 and %d", b.composed, b.built, len(m.store))
	}
}
