package plan

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// largeClosure makes 10,000 parts with 200,000 references, for 1000 packages.
func largeClosure() []rootfs.Part {
	r := rand.New(rand.NewPCG(3, 4))
	parts := randomParts(r, 10_000, false)
	for i := range parts {
		p := &parts[i]
		p.Key = fmt.Sprintf("sha256:%064x", i)
		p.Size = r.Int64N(1 << (8 + r.IntN(18)))
		p.Refs = nil
		for range min(i, 20) {
			p.Refs = append(p.Refs, parts[r.IntN(i)].Root)
		}
	}
	profile := &parts[len(parts)-1]
	profile.Refs = nil
	for range 1000 {
		profile.Refs = append(profile.Refs, parts[r.IntN(len(parts)-1)].Root)
	}
	return append(parts, rootfs.Part{Name: history.BaseName, Key: fmt.Sprintf("sha256:%064x", 1<<60), Refs: []string{profile.Root}, Size: 5 << 10})
}

func BenchmarkNew(b *testing.B) {
	parts := largeClosure()
	for b.Loop() {
		if _, err := New(parts, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSticky plans an image in which one part and the base part have changed.
func BenchmarkSticky(b *testing.B) {
	parts := largeClosure()
	layers, err := New(parts, Options{})
	if err != nil {
		b.Fatal(err)
	}
	previous := claimsOf(b, nil, layers)
	for _, i := range []int{len(parts) / 2, len(parts) - 1} {
		parts[i].Key = fmt.Sprintf("sha256:%064x", 1<<61+i)
	}
	for b.Loop() {
		if _, _, err := Sticky(parts, previous, StickyOptions{MaxWaste: DefaultMaxWaste}); err != nil {
			b.Fatal(err)
		}
	}
}
