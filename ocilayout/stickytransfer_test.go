package ocilayout

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/ocilayout/plan/plantest"
	"github.com/export-profile/export-profile/rootfs"
)

// TestStickyTransfer measures what a registry receives after a change of a leaf and of a library in the middle,
// against one tar of the changed paths, compressed with the same gzip.
// To save time the files have a quarter of the planned size.
func TestStickyTransfer(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	m := realisticModel(r, 400)
	library := text(9, 2<<20)
	dir := filepath.Join(t.TempDir(), "layout")
	build := func(m *plantest.Model, previous *PreviousImage) (*PreviousImage, plan.Summary) {
		layers, summary, err := PlanSticky(withContent(m.Parts(), library, 4), previous, plan.StickyOptions{MaxWaste: plan.DefaultMaxWaste})
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, ImageSpec{Layers: layers, Platform: linux}, Name{Tag: "v1"})
		p, err := previousIn(t.Context(), dir, "v1")
		if err != nil {
			t.Fatal(err)
		}
		return p, summary
	}
	previous, _ := build(m, nil)
	for _, change := range []struct {
		name string
		node int
	}{{"leaf", 390}, {"library", 150}, {"another leaf", 380}} {
		before := make(map[string]bool)
		for _, p := range m.Parts() {
			before[p.Root] = true
		}
		m.Nodes[change.node].Rev++
		var changed []rootfs.Part
		for _, p := range withContent(m.Parts(), library, 4) {
			if !before[p.Root] && p.Root != "" {
				changed = append(changed, p)
			}
		}
		var one bytes.Buffer
		z, err := gzip.NewWriterLevel(&one, 2) // same level as in a layer
		if err != nil {
			t.Fatal(err)
		}
		if err := writeTar(t.Context(), z, rootfs.Join(changed), nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		next, summary := build(m, previous)
		fetched, had := previous.Fetch(next)
		previous = next
		limit := int64(one.Len())*110/100 + 64<<10
		if len(summary.Reasons) > 0 {
			t.Errorf("%s: %q; want no layer rebuilt that could be kept", change.name, summary.Reasons)
		}
		t.Logf("%s: %d changed paths, one tar %d bytes; fetched %d (limit %d), had %d; %+v",
			change.name, len(changed), one.Len(), fetched, limit, had, summary)
		if fetched > limit {
			t.Errorf("%s: a registry takes %d bytes, want at most %d", change.name, fetched, limit)
		}
	}
}

// realisticModel returns a model like the closures of profiles: a few low objects that most others need, many small ones,
// some large ones, and dependencies mostly on objects slightly lower.
func realisticModel(r *rand.Rand, n int) *plantest.Model {
	m := &plantest.Model{}
	for i := range n {
		node := plantest.Node{Name: fmt.Sprintf("p%d", i), Size: 200 + r.Int64N(20<<10)}
		switch r.IntN(10) {
		case 0:
			node.Size = r.Int64N(2 << 20)
		case 1, 2:
			node.Size = r.Int64N(300 << 10)
		}
		if i > 10 {
			node.Refs = append(node.Refs, r.IntN(4)) // the C library and the like
			for range r.IntN(4) {
				node.Refs = append(node.Refs, i-1-r.IntN(min(i, 40)))
			}
		}
		m.Nodes = append(m.Nodes, node)
	}
	profile := plantest.Node{Name: "profile", Size: 40 << 10}
	wanted := make([]bool, n)
	for i := n - 1; i >= 0; i-- {
		if !wanted[i] {
			profile.Refs = append(profile.Refs, i)
		}
		for _, ref := range m.Nodes[i].Refs {
			wanted[ref] = true
		}
	}
	m.Nodes = append(m.Nodes, profile)
	return m
}
