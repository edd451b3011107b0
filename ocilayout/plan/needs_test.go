package plan

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// TestNeeds checks that parts have equal numbers if and only if the same packages reach them.
func TestNeeds(t *testing.T) {
	r := rand.New(rand.NewPCG(16, 1))
	for range 200 {
		n := 1 + r.IntN(300)
		p := &planner{parts: make([]rootfs.Part, n), refs: make([][]int32, n), needSet: make([]int, n), needCount: make([]int, n)}
		for i := range n {
			for range r.IntN(4) { // with cycles
				p.refs[i] = append(p.refs[i], int32(r.IntN(n)))
			}
		}
		packages := make([]bool, n)
		reach := make([]strings.Builder, n)
		counts := make([]int, n)
		often := 1 + r.IntN(5)
		for i := range packages {
			if packages[i] = r.IntN(often) == 0; !packages[i] {
				continue
			}
			seen, todo := map[int32]bool{int32(i): true}, []int32{int32(i)}
			for ; len(todo) > 0; todo = todo[1:] {
				fmt.Fprintf(&reach[todo[0]], "%d ", i)
				counts[todo[0]]++
				for _, ref := range p.refs[todo[0]] {
					if !seen[ref] {
						seen[ref] = true
						todo = append(todo, ref)
					}
				}
			}
		}
		p.findNeeds(packages)
		numbers, sets := make(map[string]int), make(map[int]string)
		for i := range n {
			set, number := reach[i].String(), p.needSet[i]
			if had, ok := numbers[set]; ok && had != number {
				t.Fatalf("findNeeds gives the set %s the numbers %d and %d", set, had, number)
			}
			if had, ok := sets[number]; ok && had != set {
				t.Fatalf("findNeeds gives the number %d to the sets %s and %s", number, had, set)
			}
			numbers[set], sets[number] = number, set
			if p.needCount[i] != counts[i] {
				t.Fatalf("needCount = %d; want %d", p.needCount[i], counts[i])
			}
		}
	}
}

// TestManyPackages checks that a profile with very many references does not take memory out of proportion.
func TestManyPackages(t *testing.T) {
	const n = 20_000
	root := rootfs.Part{Name: "root", Key: "sha256:0", Root: "nix/store/root", Size: 1}
	parts := make([]rootfs.Part, 0, n+1)
	for i := range n {
		p := rootfs.Part{Name: fmt.Sprint(i), Key: "sha256:1", Root: fmt.Sprintf("nix/store/%06d", i), Size: 100}
		root.Refs = append(root.Refs, p.Root)
		parts = append(parts, p)
	}
	base := rootfs.Part{Name: history.BaseName, Key: "sha256:2", Refs: []string{root.Root}, Size: 1}
	parts = append(parts, root, base)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := New(parts, Options{}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 100<<20 {
		t.Errorf("New of %d parts allocates %d MiB; want at most 100", n, bytes>>20)
	}
}
