package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// largeClosure makes n parts with 20 references each, for a tenth as many packages.
func largeClosure(n int) []rootfs.Part {
	r := rand.New(rand.NewPCG(3, 4))
	parts := randomParts(r, n, false)
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
	for range n / 10 {
		profile.Refs = append(profile.Refs, parts[r.IntN(len(parts)-1)].Root)
	}
	return append(parts, rootfs.Part{Name: history.BaseName, Key: fmt.Sprintf("sha256:%064x", 1<<60), Refs: []string{profile.Root}, Size: 5 << 10})
}

// sizes are numbers of parts.
var sizes = []int{10_000, 50_000}

func BenchmarkNew(b *testing.B) {
	for _, n := range sizes {
		parts := largeClosure(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if _, err := New(parts, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// updates are changes of a closure, and the waste that an update allows.
var updates = []struct {
	name  string
	waste int
	every int // one of so many parts changes; the base part always does
}{
	{"leaf", DefaultMaxWaste, 1 << 30},
	{"many", DefaultMaxWaste, 8}, // most layers have unused bytes
	{"waste", 0, 1000},           // most layers are rebuilt, one after the other
}

func BenchmarkSticky(b *testing.B) {
	for _, n := range sizes {
		parts := largeClosure(n)
		layers, err := New(parts, Options{})
		if err != nil {
			b.Fatal(err)
		}
		previous := claimsOf(b, nil, layers)
		for _, u := range updates {
			next := changeParts(parts, u.every)
			b.Run(fmt.Sprintf("%d/%s", n, u.name), func(b *testing.B) {
				for b.Loop() {
					if _, _, err := Sticky(next, previous, StickyOptions{MaxWaste: u.waste}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// changeParts gives one of every so many parts, and the last one, another name and key. No reference follows.
func changeParts(parts []rootfs.Part, every int) []rootfs.Part {
	next := slices.Clone(parts)
	for i := range next {
		p := &next[i]
		if i%every == every/2 && p.Root != "" || i == len(next)/2 {
			p.Name += "-next"
			p.Root += "-next"
			p.Key = fmt.Sprintf("sha256:%064x", 1<<61+i)
		}
	}
	next[len(next)-1].Key = fmt.Sprintf("sha256:%064x", 1<<61)
	return next
}
