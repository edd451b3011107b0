package tarstore

import (
	"archive/tar"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// invent makes the members of a random object in path order, and the expected result of brief.
func invent(r *rand.Rand, name string, depth int) (all []member, lines []string) {
	switch kind := r.IntN(6); {
	case kind < 2 && depth < 5 || depth == 0:
		all, lines = append(all, dir(name)), append(lines, "d "+name)
		names := map[string]bool{}
		for range r.IntN(8) {
			names[inventName(r)] = true
		}
		for _, n := range slices.Sorted(func(yield func(string) bool) {
			for n := range names {
				if !yield(n) {
					return
				}
			}
		}) {
			m, l := invent(r, name+"/"+n, depth+1)
			all, lines = append(all, m...), append(lines, l...)
		}
	case kind == 2:
		target := inventName(r)
		all, lines = append(all, sym(name, target)), append(lines, "l "+name+" -> "+target)
	case kind == 3:
		content := strings.Repeat("x", r.IntN(2000))
		all, lines = append(all, exe(name, content)), append(lines, "x "+name+" "+content)
	default:
		content := fmt.Sprint(r.IntN(4))
		all, lines = append(all, reg(name, content)), append(lines, "f "+name+" "+content)
	}
	return all, lines
}

func inventName(r *rand.Rand) string {
	alphabet := []string{"a", "b", "-", ".x", " ", "\xff", "é", "\n", "\\", "_", strings.Repeat("long", 12)}
	var b strings.Builder
	for range 1 + r.IntN(5) {
		b.WriteString(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}

// linked replaces members that equal an earlier one with hard links, as tar does for an optimised store.
func linked(all []member) []member {
	first := map[string]string{}
	for i, m := range all {
		key := fmt.Sprint(m.Typeflag, m.Mode, m.Linkname, m.content)
		if had, ok := first[key]; ok && m.Typeflag != tar.TypeDir {
			all[i] = hard(m.Name, had)
		} else {
			first[key] = m.Name
		}
	}
	return all
}

// TestRoundTrip checks that random objects survive archiving, in any order and format, with and without hard links.
func TestRoundTrip(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		all, wantA := invent(r, objA, 0)
		more, wantB := invent(r, objB, 0)
		all = append(all, more...)
		if seed%2 == 0 {
			all = linked(all)
		}
		if seed%3 == 0 {
			r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		}
		for i := range all {
			all[i].Format = []tar.Format{tar.FormatUnknown, tar.FormatPAX, tar.FormatGNU}[seed%3]
		}
		s, err := openPipe(t, pack(t, all...), Options{SpoolDir: t.TempDir()})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for p, want := range map[profile.Path][]string{pathA: wantA, pathB: wantB} {
			got, err := brief(rootfs.Check(p.Root(), s.Files(t.Context(), p)))
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Fatalf("seed %d: Files(%q): %v (-want +got):\n%s", seed, p, err, d)
			}
		}
	}
}
