package report

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// largeReport returns a report with this many objects in sixty layers. Each object refers to twenty earlier ones.
func largeReport(objects int) *Report {
	random := rand.New(rand.NewPCG(1, 2))
	r := &Report{Title: "large", Roots: []int{objects - 1}, Checked: true, Previous: &Previous{}}
	for i := range objects {
		name := fmt.Sprintf("package-%d-1.%d", i, i%7)
		o := Object{
			Path: fmt.Sprintf("%032d-%s", i, name), Name: name, Size: 1 + random.Int64N(1<<30), Closure: random.Int64N(1 << 40),
			Predecessor: i + 1, Dominator: i + 1,
		}
		if i == objects-1 {
			o.Predecessor, o.Dominator = None, None
		}
		seen := make(map[int]bool)
		for len(seen) < min(20, i) {
			if j := random.IntN(i); !seen[j] {
				seen[j] = true
				o.References = append(o.References, j)
			}
		}
		slices.Sort(o.References)
		r.Objects = append(r.Objects, o)
		r.Findings = append(r.Findings, Finding{"warning", "/nix/store/" + o.Path + "/lib", "leads nowhere"})
		r.Previous.Changes = append(r.Previous.Changes, Change{name, nil, []string{"1"}, 0, o.Size})
	}
	for i := range 60 {
		l := Layer{Title: fmt.Sprintf("layer %d", i+1)}
		for j := i; j < objects; j += 60 {
			l.Parts = append(l.Parts, Part{Object: j})
		}
		r.Layers = append(r.Layers, l)
	}
	return r
}

// TestLarge bounds the size of a page of 10,000 store paths, and checks that it says what its tables leave out.
func TestLarge(t *testing.T) {
	r := largeReport(10_000)
	page := write(t, r)
	if got := len(page); got > 2_450_000 {
		t.Errorf("the page has %d bytes; want at most 2,450,000", got)
	}
	if got := len(regexp.MustCompile(`<[a-z]`).FindAllString(page, -1)); got > 20_000 {
		t.Errorf("the page has %d elements; want at most 20,000", got)
	}
	for markup, want := range map[string]int{
		`<tr data-object=`: maxRows, `class="severity warning"`: maxRows, `<td class="change added"`: maxRows, `<span class="change added"`: maxPaths, `class="parts"`: len(r.Layers),
	} {
		if got := strings.Count(page, markup); got != want {
			t.Errorf("the page has %s %d times; want %d", markup, got, want)
		}
	}
	for _, want := range []string{
		"These are 500 of 10000 store paths, the largest. <code>export-profile closure</code> lists all.",
		"These are 500 of 10000 findings, the first. <code>export-profile check</code> lists all.",
		"These are 500 of 10000 packages, those that grew or shrank most. <code>export-profile diff</code> lists all.",
		"These are 200 of 10000 changed store paths, the largest differences. <code>export-profile report --json</code> lists all.",
		"The tables have at most 500 rows.", ">and 151 more</button>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if rowsOf(t, page) != dataOfCharts(t, r) {
		t.Error("the data in the page differ from those of WriteJSON")
	}
}

// TestAllRows checks that a page of 500 store paths has all of them in its tables.
func TestAllRows(t *testing.T) {
	page := write(t, largeReport(maxRows))
	if got := strings.Count(page, "<tr data-object="); got != maxRows {
		t.Errorf("the page has rows of %d store paths; want %d", got, maxRows)
	}
	for _, markup := range []string{"These are", "at most", `id="more"`, `class="parts"`} {
		if strings.Contains(strings.ReplaceAll(page, script, ""), markup) {
			t.Errorf("the page has %q, but leaves out nothing", markup)
		}
	}
}

// TestLargestChanges checks that the largest changes stay in their order.
func TestLargestChanges(t *testing.T) {
	var all []Change
	for i := range maxRows + 3 {
		all = append(all, Change{Package: fmt.Sprint(i), Before: 1000, After: 900})
	}
	for _, i := range []int{0, 7, maxRows + 2} {
		all[i].After = 1001 // the least
	}
	got := largestChanges(all)
	if len(got) != maxRows || got[0].Package != "1" || got[5].Package != "6" || got[6].Package != "8" || got[maxRows-1].Package != fmt.Sprint(maxRows+1) {
		t.Errorf("largestChanges returns %d changes, from %q to %q", len(got), got[0].Package, got[len(got)-1].Package)
	}
}

// largePair is like largeReport, with licences and a previous image, since which all store paths were rebuilt.
func largePair(objects int) *Report {
	r := largeReport(objects)
	r.Licensed = true
	for i, o := range r.Objects {
		r.Objects[i].Package, r.Objects[i].Version = fmt.Sprintf("package-%d", i), fmt.Sprintf("1.%d", i%7)
		r.Objects[i].Licence = fmt.Sprintf("licence %d", i%70)
		o = r.Objects[i]
		o.Path, o.Size, o.References, o.Predecessor, o.Dominator = "x"+o.Path[1:], o.Size-int64(i), nil, None, None
		r.Previous.Objects = append(r.Previous.Objects, o)
	}
	for i, l := range r.Layers {
		r.Layers[i].State = StateNew
		was := PreviousLayer{Title: l.Title, Blob: 1, Now: None}
		for _, part := range l.Parts {
			was.Parts = append(was.Parts, r.Previous.Objects[part.Object].Path)
		}
		r.Previous.Layers = append(r.Previous.Layers, was)
	}
	return r
}

// TestLargePair bounds a page that compares two images of 10,000 store paths.
func TestLargePair(t *testing.T) {
	r := largePair(10_000)
	page := write(t, r)
	if got := len(page); got > 2_600_000 {
		t.Errorf("the page has %d bytes; want at most 2,600,000", got)
	}
	if got := len(regexp.MustCompile(`<[a-z]`).FindAllString(page, -1)); got > 22_000 {
		t.Errorf("the page has %d elements; want at most 22,000", got)
	}
	for markup, want := range map[string]int{`class="change rebuilt"`: maxPaths, `class="change pair-replaced"`: len(r.Layers), `class="licence"`: 70} {
		if got := strings.Count(page, markup); got != want {
			t.Errorf("the page has %s %d times; want %d", markup, got, want)
		}
	}
}
