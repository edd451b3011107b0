package ocilayout

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/rootfs/testrun"
)

// TestKillFile kills runs that write a file at random instants.
// The file must be the old one or the new one, and the next run must leave nothing of the killed ones.
func TestKillFile(t *testing.T) {
	kills := testrun.Of(4, 40)
	for _, as := range []string{"archive", "tar"} {
		t.Run(as, func(t *testing.T) {
			t.Parallel()
			env := []string{"LAYOUT_AS=" + as, "LAYOUT_COMPRESSION=none", "LAYOUT_CACHE=" + filepath.Join(t.TempDir(), "cache")}
			file := filepath.Join(t.TempDir(), "file")
			whole := time.Duration(0) // duration of a complete run
			run := func(generation int) digest.Digest {
				t.Helper()
				begin := time.Now()
				if out, err := command(t, file, generation, "v1", env...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				whole = time.Since(begin)
				if got := names(t, filepath.Dir(file)); !cmp.Equal(got, []string{"file"}) {
					t.Fatalf("beside the file there is %q", got)
				}
				return sum(t, file)
			}
			next, old := run(2), run(1)
			if next == old {
				t.Fatal("both generations are the same")
			}
			r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
			replaced, litter := 0, 0
			for i := range kills {
				c := command(t, file, 2, "v1", env...)
				if as == "archive" && i%2 == 0 {
					killPublishing(t, c, time.Duration(r.Int64N(int64(2*time.Millisecond))))
				} else {
					if err := c.Start(); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Duration(r.Int64N(int64(whole))))
				}
				_ = c.Process.Kill()
				_ = c.Wait()
				switch got := sum(t, file); got {
				case old:
				case next:
					replaced++
				default:
					t.Fatalf("after kill %d the file is %s, want %s or %s", i, got, old, next)
				}
				if len(names(t, filepath.Dir(file))) > 1 {
					litter++
				}
				if got := run(1); got != old {
					t.Fatalf("after kill %d a run makes %s, want %s", i, got, old)
				}
			}
			t.Logf("of %d killed runs %d had replaced the file, and %d left something", kills, replaced, litter)
		})
	}
}

func sum(t *testing.T, file string) digest.Digest {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return digest.FromBytes(b)
}
