package e2e

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// kills is the number of interruptions for each victim and signal.
const kills = 100

// victim is a command that is interrupted repeatedly.
type victim struct {
	person
	dir      string // the only directory it may change, except for the spool
	args     []string
	stdin    string         // a file that is fed through a pipe, or ""
	duration time.Duration  // of an uninterrupted run without a cache
	killed   map[string]int // counts the results of the interrupted runs
}

// finish runs the command, which must succeed.
func (v *victim) finish(t *testing.T) {
	t.Helper()
	do(t, v.make(t))
}

// measure runs the command without a cache, and sets duration.
func (v *victim) measure(t *testing.T) {
	t.Helper()
	v.forget(t)
	start := time.Now()
	v.finish(t)
	v.duration = time.Since(start)
}

// forget empties the cache, so that there is something to interrupt.
func (v *victim) forget(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(v.home, ".cache/export-profile")); err != nil {
		t.Fatal(err)
	}
}

// remeasure is the number of interrupted runs after which duration is measured again, since the load of the machine varies.
const remeasure = 10

func (v *victim) make(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := v.command(v.dir, lab.program, v.args...)
	if v.stdin != "" {
		feed := exec.Command("cat", v.stdin)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		feed.Stdout = w
		if err := feed.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		go func() { _ = feed.Wait() }() // it dies when the reader is gone
		cmd.Stdin = r
		t.Cleanup(func() { r.Close() })
	}
	return cmd
}

// interrupt runs the command and sends it a signal at a random time. It reports whether the signal hit.
func (v *victim) interrupt(t *testing.T, random *rand.Rand, s syscall.Signal) bool {
	t.Helper()
	cmd := v.make(t)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if r, ok := cmd.Stdin.(*os.File); ok {
		r.Close()
	}
	time.Sleep(time.Duration(random.Int64N(int64(v.duration))))
	if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	r := result{cmd.Args, "", stderr.String(), cmd.ProcessState}
	v.killed[r.state.String()]++
	if r.status() != 0 && r.signal() != s {
		t.Errorf("after %v: %v\nwant exit status 0, or death by the signal", s, r)
	}
	return r.status() != 0
}

// report logs the results, and fails the test if half of the runs ended before the signal.
func (v *victim) report(t *testing.T) {
	t.Helper()
	t.Logf("%q takes about %v; %d runs ended with %v", v.args, v.duration.Round(time.Millisecond), kills, v.killed)
	if v.killed["exit status 0"] > kills/2 {
		t.Errorf("too few of %d runs were interrupted: %v", kills, v.killed)
	}
}

// signals lists the signals to send.
var signals = []struct {
	name   string
	signal syscall.Signal
	cleans bool // the program cleans up before it dies of the signal
}{
	{"SIGINT", syscall.SIGINT, true},
	{"SIGKILL", syscall.SIGKILL, false},
}

// dash returns a small object of the closure. Its runs are short, so many can be interrupted.
func dash(t *testing.T) string {
	t.Helper()
	i := slices.IndexFunc(lab.closure, func(p string) bool { return strings.Contains(p, "-dash-") })
	if i < 0 {
		t.Fatal("no dash in the closure")
	}
	return lab.closure[i]
}

// TestKillImage interrupts runs that add or replace a tag in a layout, and checks that the layout stays intact.
func TestKillImage(t *testing.T) {
	p := lab.user
	export := exportFile(t, dash(t))
	for _, tt := range []struct {
		name, stdin string
		from        []string
		tag         string // written by the run; the layout has the tag "old" before
	}{
		{"add", "", []string{"--profile", dash(t)}, "new"},
		{"replace", "", []string{"--profile", dash(t)}, "old"},
		{"pipe", export, []string{"--from", "-", "--profile", dash(t)}, "new"},
	} {
		for _, s := range signals {
			t.Run(tt.name+"/"+s.name, func(t *testing.T) {
				dir := p.scratch(t)
				layout := filepath.Join(dir, "layout")
				kept := p.scratch(t)
				old := p.export(t, dir, "image", "--from", goldenExport(t, kept), "oci:"+kept+"/layout:old")
				restore := func() { // gives each run something to write
					if err := os.RemoveAll(layout); err != nil {
						t.Fatal(err)
					}
					do(t, p.command(dir, "cp", "-a", kept+"/layout", layout))
				}
				v := &victim{
					person: p, dir: dir, stdin: tt.stdin, killed: make(map[string]int),
					args: append(append([]string{"image"}, tt.from...), "oci:layout:"+tt.tag),
				}
				before, after := map[string]string{"old": old}, map[string]string{"old": old}
				after[tt.tag] = p.export(t, dir, "image", "--profile", dash(t), "oci:"+kept+"/new")
				random := rand.New(rand.NewPCG(1, 2))
				for i := range kills {
					if i%remeasure == 0 {
						restore()
						v.measure(t)
					}
					restore()
					v.forget(t)
					hit := v.interrupt(t, random, s.signal)
					l, err := readLayout(layout)
					if err != nil {
						t.Fatalf("after an interrupted run: %v", err)
					}
					// The run may have succeeded just before the signal.
					got := l.digests()
					if diff := cmp.Diff(after, got); diff != "" && (!hit || cmp.Diff(before, got) != "") {
						t.Fatalf("after an interrupted run, the layout has the tags %v; want %v or %v", got, before, after)
					}
					if s.cleans {
						wantLayout(t, layout, got)
						wantNoLitter(t, p, dir, "layout")
					}
					// The next run succeeds, with whatever is in the cache, and cleans up.
					v.finish(t)
					wantLayout(t, layout, after)
					wantNoLitter(t, p, dir, "layout")
					if t.Failed() {
						break
					}
				}
				v.report(t)
			})
		}
	}
}

// TestKillRootfs interrupts runs that write a root filesystem, and checks that it is complete or absent.
func TestKillRootfs(t *testing.T) {
	p := lab.user
	for _, s := range signals {
		t.Run(s.name, func(t *testing.T) {
			dir := p.scratch(t)
			root := filepath.Join(dir, "root")
			v := &victim{
				person: p, dir: dir, killed: make(map[string]int),
				args: []string{"rootfs", "--profile", dash(t), "root"},
			}
			v.finish(t)
			want := list(t, root)
			random := rand.New(rand.NewPCG(1, 2))
			for i := range kills {
				if i%remeasure == 0 {
					if err := os.RemoveAll(root); err != nil {
						t.Fatal(err)
					}
					v.measure(t)
				}
				v.forget(t)
				if err := os.RemoveAll(root); err != nil {
					t.Fatal(err)
				}
				hit := v.interrupt(t, random, s.signal)
				if _, err := os.Lstat(root); err == nil {
					if diff := cmp.Diff(want, list(t, root)); diff != "" {
						t.Fatalf("an interrupted run left (-complete +got):\n%s", diff)
					}
					if err := os.RemoveAll(root); err != nil {
						t.Fatal(err)
					}
				} else if !hit {
					t.Fatal("an uninterrupted run wrote nothing")
				}
				if s.cleans {
					wantNoLitter(t, p, dir)
				}
				v.finish(t)
				if diff := cmp.Diff(want, list(t, root)); diff != "" {
					t.Fatalf("the run after an interrupted one wrote (-want +got):\n%s", diff)
				}
				wantNoLitter(t, p, dir, "root")
				if t.Failed() {
					break
				}
			}
			v.report(t)
		})
	}
}

// wantNoLitter checks that a directory contains only the files that belong there, and that no spool is left.
func wantNoLitter(t *testing.T, p person, dir string, belongs ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(belongs, e.Name()) {
			t.Errorf("%q is left beside %q", e.Name(), belongs)
		}
	}
	wantEmptySpool(t, p)
}
