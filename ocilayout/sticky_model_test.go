package ocilayout

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// previousOf is the image that layers become, as Previous would read it.
// Blobs have half the size of their objects.
func previousOf(t testing.TB, layers []Layer) *Previous {
	t.Helper()
	p := &Previous{}
	for _, l := range layers {
		if l.Kept != nil {
			said, err := history.Parse(l.Kept.Entry)
			if err != nil {
				t.Fatal(err)
			}
			p.Layers = append(p.Layers, PreviousLayer{*l.Kept, said})
			continue
		}
		entry := ispec.History{CreatedBy: "export-profile", Comment: history.Of(l.Parts, l.Hidden).String()}
		said, err := history.Parse(entry)
		if err != nil {
			t.Fatal(err)
		}
		id := digest.FromString(entry.Comment)
		p.Layers = append(p.Layers, PreviousLayer{Kept{
			Descriptor: ispec.Descriptor{Digest: id, Size: l.Size() / 2}, DiffID: id, Entry: entry,
		}, said})
	}
	return p
}

// unpackModel is what an unpacker makes of an image: contents by path.
// An object has a file of its hash that others of the same name have, too, and one that they have not.
// It is an error if a layer hides what it holds, or, if it is new, what is not there.
func unpackModel(p *Previous, layers []Layer) (map[string]string, error) {
	all := make(map[string]string)
	for i, l := range p.Layers {
		for _, name := range l.History.Hidden {
			if l.History.Holds(name) {
				return nil, fmt.Errorf("layer %d hides %s, which it holds", i, name)
			}
			found := false
			for path := range all {
				if strings.HasPrefix(path, history.StoreDir+"/"+name+"/") {
					found = true
					delete(all, path)
				}
			}
			if !found && layers[i].Kept == nil {
				return nil, fmt.Errorf("layer %d hides %s, which is not there", i, name)
			}
		}
		for _, o := range l.History.Objects {
			putModel(all, o.Name, o.Hash)
		}
	}
	return all, nil
}

func putModel(all map[string]string, name, hash string) {
	dir := history.StoreDir + "/" + name
	if name == history.BaseName {
		dir = "etc"
	}
	all[dir+"/content"] = hash
	all[dir+"/only-"+hash] = ""
}

func wantModel(parts []rootfs.Part) map[string]string {
	all := make(map[string]string)
	for _, p := range parts {
		putModel(all, p.Name, history.Hash(p.Key))
	}
	return all
}

// closureModel is a graph of packages that changes as packages do: with a new revision of one,
// everything that refers to it gets a new name.
type closureModel struct {
	nodes []nodeModel // a node refers to earlier ones; the last one is the profile
	bare  bool        // there is no base part, and nothing is there because of another object
}

type nodeModel struct {
	name string
	size int64
	rev  int
	salt int // another content under the same name
	refs []int
	gone bool
}

func newClosureModel(r *rand.Rand, n int) *closureModel {
	m := &closureModel{}
	for i := range n {
		node := nodeModel{name: fmt.Sprintf("p%d", i), size: r.Int64N(1 << (8 + r.IntN(17)))}
		if r.IntN(12) == 0 {
			node.size = 0
		}
		for range r.IntN(5) {
			if i > 0 {
				node.refs = append(node.refs, r.IntN(i))
			}
		}
		m.nodes = append(m.nodes, node)
	}
	profile := nodeModel{name: "profile", size: 20 << 10}
	for i := range m.nodes {
		if i >= n/2 && r.IntN(2) == 0 {
			profile.refs = append(profile.refs, i)
		}
	}
	m.nodes = append(m.nodes, profile)
	return m
}

func (m *closureModel) clone() *closureModel {
	c := *m
	c.nodes = slices.Clone(m.nodes)
	return &c
}

// parts is the closure of the profile, and the base part.
func (m *closureModel) parts() []rootfs.Part {
	all := make([]rootfs.Part, len(m.nodes))
	wanted := make([]bool, len(m.nodes))
	for i := len(m.nodes) - 1; i >= 0; i-- {
		wanted[i] = (wanted[i] || m.bare || i == len(m.nodes)-1) && !m.nodes[i].gone
		for _, ref := range m.nodes[i].refs {
			wanted[ref] = wanted[ref] || wanted[i]
		}
	}
	for i, n := range m.nodes {
		h := sha256.New()
		fmt.Fprint(h, n.name, n.rev, n.size)
		var refs []string
		for _, ref := range n.refs {
			if wanted[ref] && !m.bare && !slices.Contains(refs, all[ref].Root) {
				fmt.Fprint(h, all[ref].Name)
				refs = append(refs, all[ref].Root)
			}
		}
		name := fmt.Sprintf("%.32s-%s-%d", fmt.Sprintf("%x", h.Sum(nil)), n.name, n.rev)
		all[i] = rootfs.Part{
			Name: name, Root: history.StoreDir + "/" + name, Refs: refs, Size: n.size,
			Key: string(digest.FromString(fmt.Sprint(name, n.salt))),
		}
	}
	var parts []rootfs.Part
	for i, p := range all {
		if wanted[i] {
			parts = append(parts, p)
		}
	}
	if m.bare {
		return parts
	}
	profile := all[len(all)-1]
	return append(parts, rootfs.Part{Name: history.BaseName, Refs: []string{profile.Root}, Size: 5 << 10, Key: string(digest.FromString(profile.Root))})
}

// step changes the graph as a release does. The last few nodes are leaves: little refers to them.
func (m *closureModel) step(r *rand.Rand) {
	n := len(m.nodes) - 1
	if n < 2 {
		m.nodes[n].rev++
		return
	}
	switch r.IntN(10) {
	case 0, 1, 2, 3:
		m.nodes[n-1-r.IntN(min(n, 8))].rev++
	case 4, 5:
		m.nodes[r.IntN(n)].rev++
	case 6:
		m.nodes[r.IntN(n)].salt++ // it was not reproducible
	case 7:
		i := r.IntN(n)
		m.nodes[i].gone = !m.nodes[i].gone
	case 8:
		for range 1 + r.IntN(5) {
			node := &m.nodes[r.IntN(n)]
			node.rev++
			node.size = r.Int64N(1 << (8 + r.IntN(17)))
		}
	default:
		m.nodes[n].rev++
	}
}
