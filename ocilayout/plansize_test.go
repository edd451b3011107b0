package ocilayout

import (
	"errors"
	"math"
	"testing"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// TestPlanSize: sizes that have no sum are refused, whoever claims them.
func TestPlanSize(t *testing.T) {
	parts := func(size int64) []rootfs.Part {
		return []rootfs.Part{
			{Name: "a", Root: "nix/store/a", Key: "sha256:aa", Size: size},
			{Name: "b", Root: "nix/store/b", Key: "sha256:bb", Size: size},
			{Name: "c", Root: "nix/store/c", Key: "sha256:cc", Size: size},
		}
	}
	previous := func(size int64) *Previous {
		return &Previous{Layers: []PreviousLayer{{History: history.Layer{Objects: []history.Object{{Name: "a", Size: size}, {Name: "x", Size: size}}}}}}
	}
	for _, size := range []int64{1 << 62, math.MaxInt64, -1} {
		if layers, err := Plan(parts(size), PlanOptions{}); err == nil {
			t.Errorf("Plan of three parts of %d bytes = %v, <nil>; want an error", size, layers)
		}
		if layers, _, err := PlanSticky(parts(size), previous(1), StickyOptions{}); err == nil {
			t.Errorf("PlanSticky of three parts of %d bytes = %v, <nil>; want an error", size, layers)
		}
	}
	for _, size := range []int64{1<<61 + 1, 1 << 62, math.MaxInt64, -1} {
		if layers, _, err := PlanSticky(parts(1), previous(size), StickyOptions{}); !errors.Is(err, history.ErrForeign) {
			t.Errorf("PlanSticky over two objects of %d bytes = %v, %v; want %v", size, layers, err, history.ErrForeign)
		}
	}
	if _, _, err := PlanSticky(parts(maxSize/3), previous(maxSize/2), StickyOptions{}); err != nil {
		t.Error(err)
	}
}
