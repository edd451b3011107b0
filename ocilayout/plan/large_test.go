package plan

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/testrun"
)

// cpuAPart limits the time that a plan takes for each part, so that 50,000 parts take at most 2 s. We measured a sixth.
const cpuAPart = 40 * time.Microsecond

// TestLargeClosure checks how long plans of many parts take, also of odd graphs.
func TestLargeClosure(t *testing.T) {
	if testrun.Race {
		t.Skip("the race detector takes most of the time")
	}
	n := testrun.Of(10_000, 50_000)
	closure := largeClosure(n)
	empty := slices.Clone(closure)
	for i := range empty {
		empty[i].Size = 0
	}
	chain := slices.Clone(closure) // each part needs the one before it and the one after it
	for i := range chain[:n-1] {
		chain[i].Refs = []string{chain[max(i-1, 0)].Root, chain[i+1].Root}
	}
	alone := slices.Clone(closure) // the profile needs all, and they need nothing
	for i := range alone[:n-1] {
		alone[i].Refs = nil
		alone[n-1].Refs = append(alone[n-1].Refs, alone[i].Root)
	}
	for _, tt := range []struct {
		name  string
		parts []rootfs.Part
	}{{"closure", closure}, {"empty parts", empty}, {"chain", chain}, {"parts alone", alone}} {
		t.Run(tt.name, func(t *testing.T) {
			var layers []Group
			limitCPU(t, "New", len(tt.parts), func() (err error) {
				layers, err = New(tt.parts, Options{})
				return err
			})
			previous := claimsOf(t, nil, layers)
			for _, u := range updates {
				next := changeParts(tt.parts, u.every)
				limitCPU(t, "Sticky, "+u.name, len(next), func() error {
					_, _, err := Sticky(next, previous, StickyOptions{MaxWaste: u.waste})
					return err
				})
			}
		})
	}
}

func limitCPU(t *testing.T, what string, parts int, run func() error) {
	t.Helper()
	before := cpuTime(t)
	if err := run(); err != nil {
		t.Fatal(err)
	}
	took, most := cpuTime(t)-before, time.Duration(parts)*cpuAPart
	if took > most {
		t.Errorf("%s of %d parts takes %v of CPU time; want at most %v", what, parts, took, most)
	}
	t.Logf("%s: %v", what, took.Round(time.Millisecond))
}

// cpuTime returns the CPU time of this process, which depends less on what else the machine does than the time on the clock.
func cpuTime(t *testing.T) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
