package plan

import (
	"errors"
	"math"
	"testing"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// TestSize checks that New and Sticky refuse sizes whose sum overflows, in parts and in the previous image.
func TestSize(t *testing.T) {
	parts := func(size int64) []rootfs.Part {
		return []rootfs.Part{
			{Name: "a", Root: "nix/store/a", Key: "sha256:aa", Size: size},
			{Name: "b", Root: "nix/store/b", Key: "sha256:bb", Size: size},
			{Name: "c", Root: "nix/store/c", Key: "sha256:cc", Size: size},
		}
	}
	previous := func(size int64) []Candidate {
		return []Candidate{{Claim: history.Claim{Objects: []history.Object{{Name: "a", Size: size}, {Name: "x", Size: size}}}}}
	}
	for _, size := range []int64{1 << 62, math.MaxInt64, -1} {
		if layers, err := New(parts(size), Options{}); err == nil {
			t.Errorf("New of three parts of %d bytes = %v, <nil>; want an error", size, layers)
		}
		if layers, _, err := Sticky(parts(size), previous(1), StickyOptions{}); err == nil {
			t.Errorf("Sticky of three parts of %d bytes = %v, <nil>; want an error", size, layers)
		}
	}
	for _, size := range []int64{1<<61 + 1, 1 << 62, math.MaxInt64, -1} {
		if layers, _, err := Sticky(parts(1), previous(size), StickyOptions{}); !errors.Is(err, history.ErrForeign) {
			t.Errorf("Sticky over two objects of %d bytes = %v, %v; want %v", size, layers, err, history.ErrForeign)
		}
	}
	if _, _, err := Sticky(parts(maxSize/3), previous(maxSize/2), StickyOptions{}); err != nil {
		t.Errorf("Sticky with the largest sizes: %v", err)
	}
}
