package plan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/ocilayout/plan/plantest"
	"github.com/export-profile/export-profile/rootfs"
)

// TestStickyProperties checks long runs of updates with random limits: unpacking the image gives exactly the closure,
// the limits hold, the summary is right, and the order of the input does not matter.
func TestStickyProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	seen := make(map[string]int)
	number := regexp.MustCompile("[0-9]+")
	for run := range 32 {
		o := StickyOptions{MaxWaste: []int{0, 1, 10, 10, 30, 100}[r.IntN(6)]}
		o.MaxLayers = []int{0, 0, 0, 1, 2, 3, 4, 7, 12, 30, 120}[r.IntN(11)]
		n := r.IntN(50)
		if run%16 == 0 {
			n = 250
		}
		m := plantest.New(r, n)
		m.Bare = r.IntN(5) == 0
		switch r.IntN(12) {
		case 0:
			o.Mode, o.MaxLayers = ModeSingle, 0
		case 1:
			o.Mode, o.MaxLayers = ModePerPath, 0
		case 2:
			if parts := m.Parts(); n > 10 && len(parts) > 10 && (o.MaxLayers == 0 || o.MaxLayers > 3) {
				o.Policy = &Policy{[]PolicyLayer{{"one", []PolicyGlob{{"p?-*", 1}}}, {"many", []PolicyGlob{{"p1?-*", 2}}}}}
				if _, err := New(parts, o.Options); err != nil {
					o.Policy = nil
				}
			}
		}
		before := []*plantest.Model{m.Clone()}
		var previous []Candidate
		for step := range 50 {
			parts := m.Parts()
			if o.Mode == ModePerPath && len(parts) > MaxLayers {
				break
			}
			layers, summary, err := Sticky(parts, previous, o)
			if err != nil && o.Policy != nil {
				o.Policy = nil // a pattern matches nothing any more
				layers, summary, err = Sticky(parts, previous, o)
			}
			if err != nil {
				t.Fatalf("run %d, step %d: %v", run, step, err)
			}
			if err := checkSticky(t, parts, previous, layers, summary, o); err != nil {
				t.Fatalf("run %d, step %d, %d nodes, %+v: %v\n%+v", run, step, n, o, err, summary)
			}
			for _, l := range layers {
				if l.Reuse > 0 && len(previous[l.Reuse-1].Hidden) > 0 {
					seen["a kept layer that hides"]++
				}
			}
			seen["kept"] += summary.Kept
			seen["rebuilt"] += summary.Rebuilt
			seen["dropped"] += summary.Dropped
			seen["unused"] += min(1, int(summary.Unused))
			for _, reason := range summary.Reasons {
				reason = strings.Replace(reason, "layer is", "layers are", 1)
				seen[strings.Trim(number.ReplaceAllString(reason, "N"), "N ")]++
			}

			r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
			again, sameSummary, err := Sticky(parts, previous, o)
			if d := cmp.Diff(formatSticky(layers), formatSticky(again)); d != "" || err != nil {
				t.Fatalf("run %d, step %d: the order of the input changes the layers: %v, %s", run, step, err, d)
			}
			if d := cmp.Diff(summary, sameSummary); d != "" {
				t.Fatalf("run %d, step %d: the order of the input changes the summary: %s", run, step, d)
			}
			previous = claimsOf(t, previous, layers)

			if r.IntN(6) == 0 {
				m = before[r.IntN(len(before))].Clone() // a rollback
			} else if r.IntN(8) > 0 {
				m.Step(r)
			}
			before = append(before, m.Clone())
		}
	}
	for _, what := range []string{
		"kept", "rebuilt", "dropped", "unused", "a kept layer that hides",
		"layers are rebuilt: more than N % would be unused",
		"layers are rebuilt: no other new layer could hide the removed objects",
		"layers are rebuilt, the smallest: keeping N of at most N leaves too little room",
		"all layers are planned anew: otherwise more than half of the reusable bytes would be rebuilt",
	} {
		if seen[what] == 0 {
			t.Errorf("no step covers %q", what)
		}
	}
}

func checkSticky(t *testing.T, parts []rootfs.Part, previous []Candidate, layers []Group, summary Summary, o StickyOptions) error {
	next := claimsOf(t, previous, layers)
	got, err := unpackModel(next, layers)
	if err != nil {
		return err
	}
	if want := modelOf(parts); !maps.Equal(want, got) {
		return fmt.Errorf("unpacked image (-want +got):\n%s", cmp.Diff(want, got))
	}
	if len(layers) > o.layerLimit() {
		return fmt.Errorf("%d layers; want at most %d", len(layers), o.layerLimit())
	}
	var held, live, fresh, reused int64
	added := 0
	seen := make(map[string]int)
	for i, l := range layers {
		for _, p := range l.Parts {
			seen[p.Root]++
			live += p.Size
			if !next[i].Holds(p.Name) {
				return fmt.Errorf("layer %d shows %s, which it does not hold", i, p.Name)
			}
		}
		for _, object := range next[i].Objects {
			held += object.Size
		}
		if len(l.Parts) == 0 {
			return fmt.Errorf("layer %d has no part", i)
		}
		if l.Reuse > 0 {
			reused += previous[l.Reuse-1].Size
		} else {
			added++
			fresh += size(l)
		}
		if o.Mode == ModePerPath && len(l.Parts) != 1 {
			return fmt.Errorf("layer %d has %d parts; want 1", i, len(l.Parts))
		}
		if i < len(layers)-1 && slices.ContainsFunc(l.Parts, func(p rootfs.Part) bool { return p.Root == "" }) {
			return fmt.Errorf("layer %d of %d has the base part", i, len(layers))
		}
	}
	for _, p := range parts {
		if seen[p.Root] != 1 {
			return fmt.Errorf("%s is in %d layers; want 1", p.Name, seen[p.Root])
		}
	}
	if len(seen) != len(parts) {
		return fmt.Errorf("the layers show %d parts; want %d", len(seen), len(parts))
	}
	if unused := held - live; unused != summary.Unused || unused*100 > held*int64(o.MaxWaste) {
		return fmt.Errorf("%d of %d bytes are unused, and the summary says %d; want at most %d %%", unused, held, summary.Unused, o.MaxWaste)
	}
	want := Summary{Kept: len(layers) - added, Added: added, New: fresh, Reused: reused, Unused: held - live, Size: live}
	if d := cmp.Diff(want, summary, cmpopts.IgnoreFields(Summary{}, "Rebuilt", "Dropped", "Repacked", "Reasons")); d != "" {
		return fmt.Errorf("summary (-want +got):\n%s", d)
	}
	if n := summary.Kept + summary.Rebuilt + summary.Dropped; n != len(previous) {
		return fmt.Errorf("the summary counts %d previous layers; want %d", n, len(previous))
	}
	return nil
}

// formatSticky writes a line for each layer.
func formatSticky(layers []Group) string {
	s := ""
	for _, l := range layers {
		if l.Reuse > 0 {
			s += fmt.Sprintf("keep %d\n", l.Reuse)
		} else {
			s += fmt.Sprintf("new %s\n", history.ClaimOf(rootfs.StoreDir{}, l.Parts, l.Hidden))
		}
	}
	return s
}

// TestStickyUnchanged checks that an unchanged closure gives the same image, with any options.
func TestStickyUnchanged(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 50 {
		m := plantest.New(r, r.IntN(100))
		layers, err := New(m.Parts(), Options{MaxLayers: r.IntN(20)})
		if err != nil {
			t.Fatal(err)
		}
		previous := claimsOf(t, nil, layers)
		again, summary, err := Sticky(m.Parts(), previous, StickyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := Summary{Kept: len(layers), Size: summary.Size, Reused: summary.Reused}
		if d := cmp.Diff(want, summary); d != "" {
			t.Errorf("summary (-want +got):\n%s", d)
		}
		if d := cmp.Diff(previous, claimsOf(t, previous, again)); d != "" {
			t.Errorf("image (-want +got):\n%s", d)
		}
	}
}

// TestStickyRollback checks that a rollback shows hidden objects again instead of writing them again.
func TestStickyRollback(t *testing.T) {
	m := plantest.New(rand.New(rand.NewPCG(11, 12)), 300)
	old := m.Clone()
	first, _, err := Sticky(m.Parts(), nil, StickyOptions{MaxWaste: 10})
	if err != nil {
		t.Fatal(err)
	}
	for i := 280; i < 300; i++ {
		m.Nodes[i].Rev++
	}
	image := claimsOf(t, nil, first)
	second, summary, err := Sticky(m.Parts(), image, StickyOptions{MaxWaste: 10})
	if err != nil || summary.Unused == 0 {
		t.Fatalf("Sticky after an update = %+v, %v; want unused bytes", summary, err)
	}
	image = claimsOf(t, image, second)
	third, summary, err := Sticky(old.Parts(), image, StickyOptions{MaxWaste: 10})
	if err != nil {
		t.Fatal(err)
	}
	if summary.New*20 > summary.Size {
		t.Errorf("Sticky after a rollback = %+v; want few new bytes", summary)
	}
	if err := checkSticky(t, old.Parts(), image, third, summary, StickyOptions{MaxWaste: 10}); err != nil {
		t.Error(err)
	}
}

// TestStickyNoKey checks that a part without a key is never kept, even if everything is planned anew.
func TestStickyNoKey(t *testing.T) {
	parts := []rootfs.Part{
		{Name: "a", Root: "nix/store/a", Size: 2 << 20},
		{Name: "b", Root: "nix/store/b", Size: 3 << 20, Key: string(digest.FromString("b"))},
		{Name: "c", Root: "nix/store/c", Size: 100, Key: string(digest.FromString("c"))},
		{Name: "d", Root: "nix/store/d", Size: 1 << 20, Key: string(digest.FromString("d"))},
	}
	layers, err := New(parts, Options{})
	if err != nil {
		t.Fatal(err)
	}
	previous := claimsOf(t, nil, layers)
	again, summary, err := Sticky(parts, previous, StickyOptions{})
	if err != nil || summary.Kept != 3 || summary.Added != 1 {
		t.Errorf("Sticky: %+v, %v; want one layer added\n%s", summary, err, formatSticky(again))
	}
	// Now the largest layer has a removed object. Without allowed waste, rebuilding it rebuilds most bytes.
	previous[slices.IndexFunc(previous, func(l Candidate) bool { return l.Holds("b") })].Objects = []history.Object{{Name: "b", Hash: history.Hash(parts[1].Key), Size: 3 << 20}, {Name: "gone", Size: 1}}
	again, summary, err = Sticky(parts, previous, StickyOptions{})
	if err != nil || !summary.Repacked || summary.Kept != 2 || summary.Added != 2 {
		t.Errorf("Sticky: %+v, %v; want two layers added\n%s", summary, err, formatSticky(again))
	}
}

func TestStickyRefuses(t *testing.T) {
	a := rootfs.Part{Name: "a", Root: "nix/store/a"}
	for _, test := range []struct {
		part     rootfs.Part
		previous history.Claim
		o        StickyOptions
		want     string
	}{
		{a, history.Claim{}, StickyOptions{MaxWaste: 101}, "plan layers: waste of 101 %: want 0 to 100"},
		{a, history.Claim{}, StickyOptions{MaxWaste: -1}, "plan layers: waste of -1 %: want 0 to 100"},
		{a, history.Claim{}, StickyOptions{Options: Options{MaxLayers: 121}}, "plan layers: at most 121 layers: want 1 to 120"},
		{rootfs.Part{Name: "b", Root: "nix/store/a"}, history.Claim{}, StickyOptions{},
			`plan layers: b: "nix/store/a": only store objects and the base files can be planned from a previous image`},
		{rootfs.Part{Name: "base", Root: "nix/store/base"}, history.Claim{}, StickyOptions{},
			`plan layers: base: "nix/store/base": only store objects and the base files can be planned from a previous image`},
		{a, history.Claim{Objects: []history.Object{{Name: "a", Size: 1}, {Name: "a", Size: 1}}}, StickyOptions{},
			`plan layers: previous layer 1: not made by this program: history: the layer holds "a" twice`},
		{a, history.Claim{Objects: []history.Object{{Name: "a", Size: 1 << 62}, {Name: "b", Size: 1 << 62}}}, StickyOptions{},
			`plan layers: previous layer 1: not made by this program: it has too many bytes`},
	} {
		_, _, err := Sticky([]rootfs.Part{test.part}, []Candidate{{Claim: test.previous}}, test.o)
		if err == nil || err.Error() != test.want {
			t.Errorf("Sticky(%s, %v, %+v): %v; want %s", test.part.Name, test.previous, test.o, err, test.want)
		}
	}
}
