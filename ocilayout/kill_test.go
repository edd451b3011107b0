package ocilayout

import (
	"bufio"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/rootfs/testrun"
)

// TestKill kills runs at random instants, half of them while they publish.
// The layout must then have its old images, with or without the new one;
// and the next run must work, and leave nothing of the killed ones.
func TestKill(t *testing.T) {
	kills := testrun.Of(3, 20)
	for _, start := range []string{"new", "empty", "layout"} {
		t.Run(start, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
			whole := time.Duration(0) // duration of a complete run
			template, old := filepath.Join(t.TempDir(), "template"), map[string]digest.Digest{}
			if start == "layout" {
				old["same"] = write(t, template, sampleImage(t, 1), Name{Tag: "same"}).Digest
				old["other"] = write(t, template, sampleImage(t, 2), Name{Tag: "other"}).Digest
			}
			published, recovered := 0, 0
			for i := range 2 * kills {
				dir := filepath.Join(t.TempDir(), "layout")
				var err error
				switch start {
				case "empty":
					err = os.Mkdir(dir, 0o755)
				case "layout":
					err = os.CopyFS(dir, os.DirFS(template))
				}
				if err != nil {
					t.Fatal(err)
				}
				c := command(t, dir, 3, "same", "LAYOUT_COMPRESSION=none")
				if i == 0 { // measures the duration
					begin := time.Now()
					if out, err := c.CombinedOutput(); err != nil {
						t.Fatalf("%v: %s", err, out)
					}
					whole = time.Since(begin)
					continue
				}
				if i < kills {
					if err := c.Start(); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Duration(r.Int64N(int64(whole))))
				} else {
					killPublishing(t, c, time.Duration(r.Int64N(int64(4*time.Millisecond))))
				}
				_ = c.Process.Kill()
				_ = c.Wait()

				if checkKilled(t, dir, start, old) {
					published++
				}
				if journals, _ := filepath.Glob(filepath.Join(dir, ".*", journalName)); len(journals) > 0 {
					recovered++
				}
				// The next run either only opens the layout, or publishes.
				if i%2 == 0 {
					l, err := Open(t.Context(), dir, Options{})
					if err != nil {
						t.Fatal(err)
					}
					if err := l.Close(); err != nil {
						t.Error(err)
					}
					switch entries, err := os.ReadDir(dir); {
					case start == "new" && os.IsNotExist(err), start == "empty" && len(entries) == 0 && err == nil:
					default:
						verify(t, dir)
					}
				} else {
					write(t, dir, sampleImage(t, 4), Name{Tag: "next"})
					verify(t, dir)
				}
				if got := names(t, filepath.Dir(dir)); len(got) > 0 && !cmp.Equal(got, []string{"layout"}) {
					t.Errorf("beside the layout there is %q", got)
				}
				if t.Failed() {
					t.Fatalf("kill %d of %s", i, start)
				}
			}
			t.Logf("of %d killed runs %d had published, and %d were about to", 2*kills-1, published, recovered)
		})
	}
}

// killPublishing waits until a run is about to publish, and then for some time.
func killPublishing(t *testing.T, c *exec.Cmd, after time.Duration) {
	t.Helper()
	c.Env = append(c.Env, "LAYOUT_WAIT=1")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); !strings.HasPrefix(line, "sha256:") {
		t.Fatalf("run says %q, %v", line, err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
}

// checkKilled reports whether a killed run had published. The old images must still be there.
func checkKilled(t *testing.T, dir, start string, old map[string]digest.Digest) bool {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "index.json")); err != nil {
		if start == "layout" {
			t.Error(err)
		}
		if entries, err := os.ReadDir(dir); start == "new" && err == nil {
			t.Errorf("half a layout is there: %v", entries)
		}
		return false
	}
	got, err := verifyErr(dir, true)
	if err != nil {
		t.Errorf("after a kill: %v", err)
	}
	if got["other"] != old["other"] {
		t.Errorf("after a kill the layout has %v, and had %v", got, old)
	}
	return got["same"] != old["same"]
}

// TestProcesses lets several processes write into one directory at the same time.
func TestProcesses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	tags := []string{"a", "b", "same", "same"}
	var runs sync.WaitGroup
	for i, tag := range tags {
		runs.Go(func() {
			if out, err := command(t, dir, i, tag).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", tag, err, out)
			}
		})
	}
	runs.Wait()
	if got := verify(t, dir); len(got) != 3 {
		t.Errorf("the layout has %v", got)
	}
	if got := names(t, filepath.Dir(dir)); !cmp.Equal(got, []string{"layout"}) {
		t.Errorf("beside the layout there is %q", got)
	}
}
