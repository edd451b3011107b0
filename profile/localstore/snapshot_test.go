package localstore

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile"
)

// TestSortedReferences checks that references are sorted and each there once, also if the keys of objects are equal.
func TestSortedReferences(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 1))
	s := &snapshot{}
	for i := range 300 {
		digest := fmt.Sprintf("%08d%024d", r.IntN(100), r.IntN(1000)*1000+i)
		o := object{path: profile.Path("/nix/store/" + digest + "-x"), hash: fmt.Sprintf("sha256:%064d", 1), size: 120}
		o.key = binary.BigEndian.Uint64([]byte(digest))
		if err := s.add(int64(2*i), o); err != nil {
			t.Fatal(err)
		}
	}
	var rows []refRow
	want := make([][]profile.Path, len(s.objects))
	for range 12_000 {
		from, to := r.IntN(len(s.objects)), r.IntN(len(s.objects))
		rows = append(rows, refRow{int64(2 * from), int64(2 * to)}, refRow{int64(2*from + 1), int64(2 * to)}) // the latter of an unknown object
		want[from] = append(want[from], s.objects[to].path)
	}
	s.addRefs(rows)
	for i := range s.objects {
		info, err := s.info(&s.objects[i])
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(want[i])
		if diff := cmp.Diff(slices.Compact(want[i]), info.References); diff != "" {
			t.Fatalf("references of object %d (-want +got):\n%s", i, diff)
		}
	}
}
