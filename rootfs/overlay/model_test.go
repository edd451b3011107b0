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
	"github.com/export-profile/export-profile/rootfs/testrun"
)

// model is an image as a map from paths to lines without their path.
// It has no layers, and resolves links by trying all prefixes.
// Lines of the image's base begin with a capital letter.
type model map[string]string

func (m model) kind(p string) string {
	if p == "" {
		return "d"
	}
	return strings.ToLower(strings.SplitN(m[p]+" ", " ", 2)[0])
}

// real follows the links of a path one at a time, shortest prefix first.
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

func (m model) parents(p, kind string) {
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if m.kind(dir) == "" {
			m[dir] = kind + " 0755 0:0"
		}
	}
}

func (m model) within(dir string) []string {
	all := slices.DeleteFunc(slices.Collect(maps.Keys(m)), func(p string) bool { return !rootfs.Within(dir, p) })
	slices.SortFunc(all, rootfs.ComparePaths)
	return all
}

// linkOverDir replaces a directory with a link, and moves its contents to where the link leads.
func (m model) linkOverDir(p, link string) bool {
	was := maps.Clone(m)
	all := m.within(p)
	for _, q := range all {
		if strings.ToUpper(m[q][:1]) != m[q][:1] {
			return false
		}
		delete(m, q)
	}
	m.parents(p, "d")
	m[p] = link
	end, ok := m.real(p, true)
	if !ok {
		return false
	}
	for _, q := range all {
		dir := was.kind(q) == "d"
		to, ok := m.real(strings.Trim(end+q[len(p):], "/"), dir)
		if !ok {
			return false
		}
		switch k := m.kind(to); {
		case k == "" && strings.HasPrefix(to, "nix/"):
			return false
		case k == "":
			m.parents(to, "D")
			m[to] = was[q]
			if fields := strings.Split(was[q], " "); fields[0] == "L" && !path.IsAbs(fields[3]) {
				fields[3] = path.Join("/", path.Dir(q), fields[3])
				m[to] = strings.Join(fields, " ")
			}
		case dir && k != "d":
			return false
		}
	}
	return true
}

// do applies a change, and reports whether it is allowed.
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
			m.parents(p, "d")
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
		for _, q := range m.within(p) {
			delete(m, q)
		}
	case Symlink:
		if k == "d" {
			return m.linkOverDir(p, "l 0777 0:0 "+c.Target)
		}
		m.parents(p, "d")
		m[p] = "l 0777 0:0 " + c.Target
	case Add:
		if k == "d" {
			return false
		}
		if end, ok := m.real(p, true); ok && k == "l" && m.kind(end) == "d" {
			return false
		}
		m.parents(p, "d")
		m[p] = fmt.Sprintf("f %s %d:%d %q", formatMode(c.Mode), c.UID, c.GID, content)
	}
	return true
}

func (m model) String() string {
	var b strings.Builder
	for _, p := range slices.SortedFunc(maps.Keys(m), rootfs.ComparePaths) {
		fields := strings.SplitN(strings.ToLower(m[p][:1])+m[p][1:], " ", 4)
		b.WriteString(strings.Join(slices.Insert(fields, 3, p), " ") + "\n")
	}
	return b.String()
}

const modelBelow = `d 0755 0:0 a
d 0700 1:2 a/b
f 0444 0:0 a/b/c "one"
l 0777 0:0 a/b/l ../c
f 0444 0:0 a/c "two"
l 0777 0:0 b a/b
d 0755 0:0 nix
d 0755 0:0 nix/store
d 0555 0:0 nix/store/p
f 0444 0:0 nix/store/p/f "three"
l 0777 0:0 p nix/store/p
`

// TestModel makes random changes in several layers. It compares the image, unpacked layer by layer and flattened,
// with a model. Apply must refuse the changes that the model refuses.
func TestModel(t *testing.T) {
	seeds := testrun.Of(200, 20_000)
	dir, content := t.TempDir(), "new content"
	writeFile(t, dir+"/f", content)
	refused, hidden, linked, linksOverDirs := 0, 0, 0, 0
	for seed := range seeds {
		r := rand.New(rand.NewPCG(uint64(seed), 5))
		below := parseParts(t, modelBelow)
		m := make(model)
		for line := range strings.Lines(modelBelow) {
			fields := strings.SplitN(strings.TrimSpace(line), " ", 5)
			p := fields[3]
			m[p] = strings.Join(slices.Delete(fields, 3, 4), " ")
			if !strings.HasPrefix(p, "nix/store/") {
				m[p] = strings.ToUpper(m[p][:1]) + m[p][1:]
			}
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
				t.Fatalf("seed %d: Apply of %v, then %s %s = %v; want success: %v\n%s", seed, o.Layers, c.Word, c, err, want, m)
			}
			if err != nil {
				refused++
				continue
			}
			if p, _ := m.real(c.Place[1:], false); p != c.Place[1:] {
				linked++
			}
			if p, _ := m.real(c.Place[1:], false); c.Word == Symlink && m.kind(p) == "d" {
				linksOverDirs++
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
		if d := cmp.Diff(m.String(), format(t, treeOf(unpackLayers(t, result)))); d != "" {
			t.Fatalf("seed %d: %v: layer by layer (-model +got):\n%s", seed, o.Layers, d)
		}
		if d := cmp.Diff(m.String(), format(t, rootfs.Join(result.Flatten()))); d != "" {
			t.Fatalf("seed %d: %v: flattened (-model +got):\n%s", seed, o.Layers, d)
		}
		if err := result.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if refused < seeds/2 || hidden < seeds/10 || linked < seeds/10 || linksOverDirs < seeds/100 {
		t.Errorf("the seeds cover too little: %d changes refused, %d paths hidden, %d paths through links, %d links over directories",
			refused, hidden, linked, linksOverDirs)
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
	return Change{Word: Add, Source: src, Place: place, HasMode: true, Mode: 0o640, HasOwner: true, UID: r.IntN(3), GID: 4}
}
