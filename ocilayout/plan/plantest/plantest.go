// Package plantest makes closures that change like those of real packages, for tests of plans and of the images built from them.
package plantest

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// Model is a graph of packages. As with real packages, a new revision of one
// gives everything that refers to it a new name.
type Model struct {
	Nodes []Node // nodes refer to earlier ones; the last one is the profile
	Bare  bool   // without a base part and without references
}

// Node is a package.
type Node struct {
	Name string
	Size int64
	Rev  int
	Salt int // changes the content, but not the name
	Refs []int
	Gone bool
}

// New makes a model of n packages and a profile.
func New(r *rand.Rand, n int) *Model {
	m := &Model{}
	for i := range n {
		node := Node{Name: fmt.Sprintf("p%d", i), Size: r.Int64N(1 << (8 + r.IntN(17)))}
		if r.IntN(12) == 0 {
			node.Size = 0
		}
		for range r.IntN(5) {
			if i > 0 {
				node.Refs = append(node.Refs, r.IntN(i))
			}
		}
		m.Nodes = append(m.Nodes, node)
	}
	profile := Node{Name: "profile", Size: 20 << 10}
	for i := range m.Nodes {
		if i >= n/2 && r.IntN(2) == 0 {
			profile.Refs = append(profile.Refs, i)
		}
	}
	m.Nodes = append(m.Nodes, profile)
	return m
}

// Clone returns an independent copy.
func (m *Model) Clone() *Model {
	c := *m
	c.Nodes = slices.Clone(m.Nodes)
	return &c
}

// Parts returns the closure of the profile, and the base part.
func (m *Model) Parts() []rootfs.Part {
	all := make([]rootfs.Part, len(m.Nodes))
	wanted := make([]bool, len(m.Nodes))
	for i := len(m.Nodes) - 1; i >= 0; i-- {
		wanted[i] = (wanted[i] || m.Bare || i == len(m.Nodes)-1) && !m.Nodes[i].Gone
		for _, ref := range m.Nodes[i].Refs {
			wanted[ref] = wanted[ref] || wanted[i]
		}
	}
	for i, n := range m.Nodes {
		h := sha256.New()
		fmt.Fprint(h, n.Name, n.Rev, n.Size)
		var refs []string
		for _, ref := range n.Refs {
			if wanted[ref] && !m.Bare && !slices.Contains(refs, all[ref].Root) {
				fmt.Fprint(h, all[ref].Name)
				refs = append(refs, all[ref].Root)
			}
		}
		name := fmt.Sprintf("%.32s-%s-%d", fmt.Sprintf("%x", h.Sum(nil)), n.Name, n.Rev)
		all[i] = rootfs.Part{
			Name: name, Root: "nix/store/" + name, Refs: refs, Size: n.Size,
			Key: key(fmt.Sprint(name, n.Salt)),
		}
	}
	var parts []rootfs.Part
	for i, p := range all {
		if wanted[i] {
			parts = append(parts, p)
		}
	}
	if m.Bare {
		return parts
	}
	profile := all[len(all)-1]
	return append(parts, rootfs.Part{Name: history.BaseName, Refs: []string{profile.Root}, Size: 5 << 10, Key: key(profile.Root)})
}

// Step changes the graph like a release. Few nodes refer to the last nodes, so these change most often.
func (m *Model) Step(r *rand.Rand) {
	n := len(m.Nodes) - 1
	if n < 2 {
		m.Nodes[n].Rev++
		return
	}
	switch r.IntN(10) {
	case 0, 1, 2, 3:
		m.Nodes[n-1-r.IntN(min(n, 8))].Rev++
	case 4, 5:
		m.Nodes[r.IntN(n)].Rev++
	case 6:
		m.Nodes[r.IntN(n)].Salt++ // a build that is not reproducible
	case 7:
		i := r.IntN(n)
		m.Nodes[i].Gone = !m.Nodes[i].Gone
	case 8:
		for range 1 + r.IntN(5) {
			node := &m.Nodes[r.IntN(n)]
			node.Rev++
			node.Size = r.Int64N(1 << (8 + r.IntN(17)))
		}
	default:
		m.Nodes[n].Rev++
	}
}

func key(content string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content))) }
