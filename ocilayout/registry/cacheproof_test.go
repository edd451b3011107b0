package registry

import (
	"testing"

	"github.com/export-profile/export-profile/rootfs"
)

// TestSharedUnproven checks that an unproven part takes only layers whose builders have checked the contents.
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
