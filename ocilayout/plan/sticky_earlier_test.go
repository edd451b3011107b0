package plan

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/export-profile/export-profile/ocilayout/plan/plantest"
	"github.com/export-profile/export-profile/rootfs"
)

// TestStickyEarlierPlan checks that a new version of the program keeps the layers that an earlier one made.
// In plan 1, small parts shared layers of 1 MiB or more, and there were at most 60 layers.
func TestStickyEarlierPlan(t *testing.T) {
	m := plantest.New(rand.New(rand.NewPCG(21, 22)), 150)
	leaf := 0
	for i, n := range m.Nodes[:len(m.Nodes)-1] {
		if n.Size > 0 && n.Size < 100<<10 && !isReferred(m, i) {
			leaf = i
		}
	}
	var layers []Group
	var small, last Group
	for i, p := range m.Parts() {
		switch {
		case i >= len(m.Parts())-2: // the profile and the base part
			last.Parts = append(last.Parts, p)
		case p.Size >= 1<<20:
			layers = append(layers, Group{Parts: []rootfs.Part{p}})
		default:
			if small.Parts = append(small.Parts, p); size(small) >= 1<<20 {
				layers, small = append(layers, small), Group{}
			}
		}
	}
	layers = append(layers, small, last)
	if len(layers) < 20 || len(layers) > 60 || len(small.Parts) == 0 || leaf == 0 {
		t.Fatalf("plan 1: %d layers, the leaf %d; want 20 to 60, and a leaf", len(layers), leaf)
	}
	previous := claimsOf(t, nil, layers)

	_, summary, err := Sticky(m.Parts(), previous, StickyOptions{MaxWaste: DefaultMaxWaste})
	if want := (Summary{Kept: len(layers)}); err != nil || !cmp.Equal(want, summary, ignoreBytes) {
		t.Errorf("Sticky of an unchanged closure: %+v, %v; want %+v", summary, err, want)
	}

	m.Nodes[leaf].Rev++
	_, summary, err = Sticky(m.Parts(), previous, StickyOptions{MaxWaste: DefaultMaxWaste})
	want := Summary{Kept: len(layers) - 1, Dropped: 1, Added: 2}
	if err != nil || !cmp.Equal(want, summary, ignoreBytes) {
		t.Errorf("Sticky with another leaf: %+v, %v; want %+v", summary, err, want)
	}
	if bytes := m.Nodes[leaf].Size + size(last); summary.New != bytes {
		t.Errorf("Sticky with another leaf has %d new bytes; want %d, those of the leaf, the profile and the base part", summary.New, bytes)
	}
}

var ignoreBytes = cmpopts.IgnoreFields(Summary{}, "New", "Reused", "Unused", "Size")

// isReferred reports whether a node other than the profile refers to node i.
func isReferred(m *plantest.Model, i int) bool {
	for _, n := range m.Nodes[:len(m.Nodes)-1] {
		for _, ref := range n.Refs {
			if ref == i {
				return true
			}
		}
	}
	return false
}
