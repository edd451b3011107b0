package registry

import (
	"testing"

	"github.com/export-profile/export-profile/rootfs"
)

// TestSharedUnproven: who wants contents to be checked takes only layers whose makers have checked them.
func TestSharedUnproven(t *testing.T) {
	unproven, trusted := part("a", 1, 1<<10), part("a", 1, 1<<10)
	unproven.Unproven = true
	f := newFake(t)
	r := &runner{T: t, fake: f, keys: signer(1), parts: []rootfs.Part{trusted}}
	want := layoutDigest(t, image(t, nil, "gzip", r.parts...))
	r.want(want, built)
	r.want(want, fetched)
	r.parts = []rootfs.Part{unproven}
	r.want(want, built)
	r.want(want, fetched)
	r.parts = []rootfs.Part{trusted}
	r.want(want, fetched)
}
