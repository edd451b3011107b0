package overlay

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/rootfs"
)

// model is an image as a map of paths to lines without their path.
// It knows nothing of layers, and its links are resolved by trying all prefixes.
type model map[string]string

func (m model) kind(p string) string {
	if p == "" {
		return "d"
	}
	return strings.SplitN(m[p]+" ", " ", 2)[0]
}

// real follows all links of a path, one prefix at a time, from the first one on.
func (m model) real(p string, follow bool) (string, bool) {
	for range 50 {
		again := false
		elems := strings.Split(p, "/")
		for i := range elems {
			prefix := strings.Join(elems[:i+1], "/")
			last := i == len(elems)-1
			switch k := m.kind(prefix); {
			case k == "l" && (!last || follow):
				target := strings.SplitN(m[prefix], " ", 4)[3]
				if !path.IsAbs(target) {
					target = "/" + path.Dir(prefix) + "/" + target
				}
				p = strings.TrimPrefix(path.Clean(target+"/"+strings.Join(elems[i+1:], "/")), "/")
				again = true
			case k == "f" && !last:
				return "", false
			}
			if again {
				break
			}
		}
		if !again {
			return p, true
		}
	}
	return "", false
}

func (m model) parents(p string) {
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if m.kind(dir) == "" {
			m[dir] = "d 0755 0:0"
		}
	}
}

// do applies a change, and says whether that is possible.
func (m model) do(c Change, content string) bool {
	p, ok := m.real(c.Place[1:], c.Word == Mkdir)
	if ok && p == "" && c.Word == Mkdir {
		return !c.HasMode
	}
	if !ok || p == "" || p == "nix" || strings.HasPrefix(p, "nix/") && c.Word != Mkdir {
		return false
	}
	switch k := m.kind(p); c.Word {
	case Mkdir:
		if k != "" && k != "d" {
			return false
		}
		if strings.HasPrefix(p, "nix/") && (k == "" || c.HasMode) {
			return false
		}
		if k == "" || c.HasMode {
			m.parents(p)
			mode, owner := "0755", "0:0"
			if k == "d" {
				owner = strings.Split(m[p], " ")[2]
			}
			if c.HasMode {
				mode = formatMode(c.Mode)
			}
			m[p] = "d " + mode + " " + owner
		}
	case Whiteout:
		if k == "" {
			return false
		}
		for q := range m {
			if rootfs.Within(p, q) {
				delete(m, q)
			}
		}
	case Symlink:
		if k == "d" {
			return false
		}
		m.parents(p)
		m[p] = "l 0777 0:0 " + c.Target
	case Add:
		if k == "d" {
			return false
		}
		if end, ok := m.real(p, true); ok && k == "l" && m.kind(end) == "d" {
			return false
		}
		m.parents(p)
		m[p] = fmt.Sprintf("f %s %d:%d %q", formatMode(c.Mode), c.UID, c.GID, content)
	}
	return true
}

func (m model) String() string {
	var b strings.Builder
	for _, p := range slices.SortedFunc(maps.Keys(m), rootfs.ComparePaths) {
		fields := strings.SplitN(m[p], " ", 4)
		b.WriteString(strings.Join(slices.Insert(fields, 3, p), " ") + "\n")
	}
	return b.String()
}

const modelBelow = `d 0755 0:0 a
d 0700 1:2 a/b
f 0444 0:0 a/b/c "one"
f 0444 0:0 a/c "two"
l 0777 0:0 b a/b
d 0755 0:0 nix
d 0755 0:0 nix/store
d 0555 0:0 nix/store/p
f 0444 0:0 nix/store/p/f "three"
l 0777 0:0 p nix/store/p
`

// TestModel makes random changes in several layers, and compares an image of parts and layers, unpacked in their order,
// and a flat one with a model. Changes that the model refuses are refused.
func TestModel(t *testing.T) {
	seeds := 800
	if testing.Short() {
		seeds = 200
	}
	dir, content := t.TempDir(), "new content"
	writeFile(t, dir+"/f", content)
	refused, hidden, linked := 0, 0, 0
	for seed := range seeds {
		r := rand.New(rand.NewPCG(uint64(seed), 5))
		below := parseParts(t, modelBelow)
		m := make(model)
		for line := range strings.Lines(modelBelow) {
			fields := strings.SplitN(strings.TrimSpace(line), " ", 5)
			p := fields[3]
			m[p] = strings.Join(slices.Delete(fields, 3, 4), " ")
		}
		o := Options{Layers: [][]Change{nil}}
		view := rootfs.NewView(storeParts(below), nil)
		for range 1 + r.IntN(12) {
			c := randomChange(r, dir+"/f")
			try := Options{Layers: slices.Clone(o.Layers)}
			last := len(try.Layers) - 1
			try.Layers[last] = append(slices.Clone(try.Layers[last]), c)
			want := maps.Clone(m).do(c, content)
			result, err := Apply(t.Context(), below, view, try)
			if want != (err == nil) {
				t.Fatalf("seed %d: %v and then %s %s: %v; the model allows it: %v\n%s", seed, o.Layers, c.Word, c, err, want, m)
			}
			if err != nil {
				refused++
				continue
			}
			if p, _ := m.real(c.Place[1:], false); p != c.Place[1:] {
				linked++
			}
			if err := result.Close(); err != nil {
				t.Fatal(err)
			}
			m.do(c, content)
			o = try
			if r.IntN(4) == 0 {
				o.Layers = append(o.Layers, nil)
			}
		}
		result, err := Apply(t.Context(), below, view, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range result.Layers {
			hidden += len(l.Hidden)
		}
		if d := cmp.Diff(m.String(), format(t, treeOf(stacked(t, result)))); d != "" {
			t.Fatalf("seed %d: %v: layer by layer (-model +got):\n%s", seed, o.Layers, d)
		}
		if d := cmp.Diff(m.String(), format(t, rootfs.Join(result.Flatten()))); d != "" {
			t.Fatalf("seed %d: %v: flattened (-model +got):\n%s", seed, o.Layers, d)
		}
		if err := result.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if refused < seeds/2 || hidden < seeds/10 || linked < seeds/10 {
		t.Errorf("%d changes were refused, %d hidden, %d through links: too few to tell anything", refused, hidden, linked)
	}
}

func randomChange(r *rand.Rand, src string) Change {
	place := ""
	for range 1 + r.IntN(3) {
		place += "/" + string("abcp"[r.IntN(4)])
	}
	switch r.IntN(5) {
	case 0:
		return Change{Word: Whiteout, Place: place}
	case 1:
		targets := []string{"a", "/a", "b", "../a", "a/b", "/c/b", "nowhere", "..", "/", "/p"}
		return Change{Word: Symlink, Place: place, Target: targets[r.IntN(len(targets))]}
	case 2:
		return Change{Word: Mkdir, Place: place, HasMode: r.IntN(2) == 0, Mode: 0o711}
	}
	return Change{Word: Add, Source: src, Place: place, HasMode: true, Mode: 0o640, Owned: true, UID: r.IntN(3), GID: 4}
}
