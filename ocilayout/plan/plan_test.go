package plan

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/export-profile/export-profile/rootfs"
)

var update = flag.Bool("update", false, "write the results into testdata")

// TestNew runs testdata/new/*.txtar, one case a file.
// The comment describes the case. Its lines "max: N" and "mode: MODE" are the options.
// The file "policy" is the policy and may be missing.
// A line of the file "graph" is a part, its size in KiB and its references. The part "base" is the base part.
// The result is "layers" or "error".
func TestNew(t *testing.T) {
	files, err := filepath.Glob("testdata/new/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var o Options
			for line := range strings.Lines(string(archive.Comment)) {
				if most, ok := strings.CutPrefix(line, "max: "); ok {
					if o.MaxLayers, err = strconv.Atoi(strings.TrimSpace(most)); err != nil {
						t.Fatal(err)
					}
				}
				if mode, ok := strings.CutPrefix(line, "mode: "); ok {
					if o.Mode, err = ParseMode(strings.TrimSpace(mode)); err != nil {
						t.Fatal(err)
					}
				}
			}
			want := make(map[string]string)
			for _, f := range archive.Files {
				want[f.Name] = string(f.Data)
			}
			got := map[string]string{"graph": want["graph"]}
			if policy, ok := want["policy"]; ok {
				got["policy"] = policy
				if o.Policy, err = ParsePolicy(strings.NewReader(policy)); err != nil {
					t.Fatal(err)
				}
			}
			layers, err := New(parseGraph(t, want["graph"]), o)
			if err != nil {
				got["error"] = err.Error() + "\n"
			} else {
				got["layers"] = formatLayers(layers)
			}
			if *update {
				updateCase(t, name, archive, got, "layers", "error")
				return
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("New(%+v) (-want +got):\n%s", o, d)
			}
		})
	}
}

// updateCase writes a case with new results.
func updateCase(t *testing.T, name string, archive *txtar.Archive, got map[string]string, results ...string) {
	t.Helper()
	archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return slices.Contains(results, f.Name) })
	for _, result := range results {
		if data, ok := got[result]; ok {
			archive.Files = append(archive.Files, txtar.File{Name: result, Data: []byte(data)})
		}
	}
	if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

func parseGraph(t *testing.T, graph string) []rootfs.Part {
	t.Helper()
	root := func(name string) string {
		if name == "base" {
			return ""
		}
		return "nix/store/" + name
	}
	var parts []rootfs.Part
	for line := range strings.Lines(graph) {
		words := strings.Fields(line)
		kib, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		p := rootfs.Part{Name: words[0], Root: root(words[0]), Size: kib << 10}
		for _, ref := range words[2:] {
			p.Refs = append(p.Refs, root(ref))
		}
		parts = append(parts, p)
	}
	return parts
}

// size adds up the sizes of a layer's parts.
func size(l Group) (n int64) {
	for _, p := range l.Parts {
		n += p.Size
	}
	return n
}

func formatLayers(layers []Group) string {
	var b strings.Builder
	for _, l := range layers {
		fmt.Fprintf(&b, "%d", size(l)>>10)
		for _, p := range l.Parts {
			fmt.Fprintf(&b, " %s", p.Name)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// randomParts makes a graph of n parts, with a base part if hasBase. It may have cycles.
func randomParts(r *rand.Rand, n int, hasBase bool) []rootfs.Part {
	parts := make([]rootfs.Part, n)
	for i := range parts {
		parts[i].Name = fmt.Sprintf("%08x-%d", r.Uint32(), i)
		parts[i].Root = "nix/store/" + parts[i].Name
		parts[i].Size = r.Int64N(1 << (1 + r.IntN(28)))
		if r.IntN(5) == 0 {
			parts[i].Size = 0
		}
	}
	for i := range parts {
		for range r.IntN(4) {
			ref := r.IntN(n)
			if r.IntN(10) > 0 {
				ref = r.IntN(i + 1)
			}
			parts[i].Refs = append(parts[i].Refs, parts[ref].Root)
		}
	}
	if hasBase && n > 0 {
		base := &parts[r.IntN(n)]
		base.Name, base.Root, base.Refs = "base", "", nil
		for range 1 + r.IntN(3) {
			if p := parts[n-1-r.IntN(min(n, 3))]; p.Root != "" {
				base.Refs = append(base.Refs, p.Root)
			}
		}
	}
	return parts
}

// TestNewProperties checks for random graphs that every part occurs once, the limit holds,
// the order of the input does not matter, the base part is last, and layers are in path order.
func TestNewProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for i := range 400 {
		n := r.IntN(200)
		o := Options{MaxLayers: []int{0, 1, 2, 3, n - 1, n, n + 1, 120}[r.IntN(8)]}
		o.MaxLayers = min(max(o.MaxLayers, 0), 120)
		hasBase := r.IntN(3) > 0
		parts := randomParts(r, n, hasBase)
		limit := o.MaxLayers
		if limit == 0 {
			limit = 100
		}
		switch r.IntN(6) {
		case 0:
			o.Mode, limit = ModeSingle, 1
		case 1:
			if o.Mode = ModePerPath; o.MaxLayers == 0 {
				limit = 120
			}
		case 2, 3:
			o.Policy = &Policy{[]PolicyLayer{
				{"a", []PolicyGlob{{"0*", 1}, {"*7?", 2}}}, {"b", []PolicyGlob{{"[1-8]*3", 3}}}, {"c", []PolicyGlob{{"*", 4}}},
			}[:2+r.IntN(2)]}
		}
		layers, err := New(parts, o)
		if err != nil && (o.Mode == ModePerPath && n > limit || o.Policy != nil) {
			refused++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if o.Mode == ModePerPath && len(layers) != n || o.Mode == ModeSingle && len(layers) > 1 {
			t.Errorf("graph %d: New makes %d layers of %d parts with mode %v", i, len(layers), n, o.Mode)
		}
		if len(layers) > limit {
			t.Errorf("graph %d: New makes %d layers of %d parts; want at most %d", i, len(layers), n, limit)
		}
		seen := make(map[string]int)
		for _, l := range layers {
			if len(l.Parts) == 0 {
				t.Errorf("graph %d: a layer is empty", i)
			}
			if !slices.IsSortedFunc(l.Parts, func(a, b rootfs.Part) int { return rootfs.ComparePaths(a.Root, b.Root) }) {
				t.Errorf("graph %d: a layer is not in path order", i)
			}
			for _, p := range l.Parts {
				seen[p.Root]++
			}
		}
		for _, p := range parts {
			if seen[p.Root] != 1 {
				t.Errorf("graph %d: %s is in %d layers; want 1", i, p.Name, seen[p.Root])
			}
		}
		if len(seen) != n {
			t.Errorf("graph %d: the layers hold %d parts; want %d", i, len(seen), n)
		}
		if hasBase && n > 0 && layers[len(layers)-1].Parts[0].Root != "" {
			t.Errorf("graph %d: the base part is not in the last layer", i)
		}
		want := formatLayers(layers)
		for range 3 {
			r.Shuffle(n, func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
			again, err := New(parts, o)
			if got := formatLayers(again); err != nil || got != want {
				t.Errorf("graph %d: with the input in another order, New makes\n%s, %v; want\n%s", i, got, err, want)
			}
		}
	}
	if refused == 0 || refused > 200 {
		t.Errorf("New refused %d of 400 plans; want some, and at most 200", refused)
	}
}

// TestNewLimits checks each mode with as many paths as layers, one less and one more: every path must occur once.
func TestNewLimits(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, most := range []int{1, 2, 3, 7, 100, 119, 120} {
		for n := most - 1; n <= most+1; n++ {
			for mode := ModeAuto; mode <= ModePerPath; mode++ {
				parts := randomParts(r, n, n > 1)
				layers, err := New(parts, Options{MaxLayers: most, Mode: mode})
				if mode == ModePerPath && n > most {
					want := fmt.Sprintf("plan layers: too many layers: %d paths are one layer each, and there can be at most %d: "+
						"raise that, to at most 120, or let layers have several paths", n, most)
					if err == nil || err.Error() != want {
						t.Errorf("New(%d parts, %d, %v): %v; want %s", n, most, mode, err, want)
					}
					continue
				}
				all := make(map[string]bool)
				count := 0
				for _, l := range layers {
					for _, p := range l.Parts {
						all[p.Root] = true
						count++
					}
				}
				if err != nil || len(layers) > most || len(all) != n || count != n {
					t.Errorf("New(%d parts, %d, %v) = %d layers with %d parts, %v", n, most, mode, len(layers), count, err)
				}
			}
		}
	}
}

func TestParseMode(t *testing.T) {
	for _, s := range []string{"auto", "single", "per-path"} {
		if m, err := ParseMode(s); err != nil || m.String() != s {
			t.Errorf("ParseMode(%q) = %v, %v", s, m, err)
		}
	}
	if m, err := ParseMode("Auto"); err == nil || err.Error() != `layers "Auto": want auto, single or per-path` {
		t.Errorf("ParseMode(Auto) = %v, %v", m, err)
	}
}

// TestNewUpdate checks that a changed part moves few bytes besides its own, also if there are many more parts than layers.
func TestNewUpdate(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	parts := randomParts(r, 1000, true)
	layers, err := New(parts, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, p := range parts {
		total += p.Size
	}
	var worst, sum int64
	for _, l := range layers {
		var largest int64
		for _, p := range l.Parts {
			largest = max(largest, p.Size)
			sum += size(l) - p.Size // other bytes that move when p changes
		}
		worst = max(worst, size(l)-largest)
	}
	if mean := sum / int64(len(parts)); worst > total/20 || mean > total/50 {
		t.Errorf("an update moves %d other bytes on average and %d at worst, of %d", mean, worst, total)
	}
}

func TestNewRefuses(t *testing.T) {
	two := []rootfs.Part{{Name: "a", Root: "nix/store/a"}, {Name: "b", Root: "nix/store/a"}}
	for _, test := range []struct {
		parts []rootfs.Part
		o     Options
		want  string
	}{
		{nil, Options{MaxLayers: 121}, "plan layers: at most 121 layers: want 1 to 120"},
		{nil, Options{MaxLayers: -1}, "plan layers: at most -1 layers: want 1 to 120"},
		{nil, Options{Mode: 3}, "plan layers: unknown mode Mode(3)"},
		{nil, Options{Mode: ModeSingle, Policy: &Policy{}}, "plan layers: a policy cannot be combined with the mode single"},
		{two, Options{}, `plan layers: b: "nix/store/a": file already exists: it belongs to a`},
	} {
		if _, err := New(test.parts, test.o); err == nil || err.Error() != test.want {
			t.Errorf("New(%d parts, %+v): %v; want %s", len(test.parts), test.o, err, test.want)
		}
	}
}
