package main

import (
	"os"
	"testing"

	"github.com/export-profile/export-profile/ocilayout/plan"
)

// TestTime checks that a year builds each layer once, as many bytes as the registry has in the end, and that nothing is left behind.
func TestTime(t *testing.T) {
	checkTimes(t, newYear(testUniverse(6), 3, 2, 1))
	if most := checkTimes(t, newYear(testUniverse(plan.MaxLayers), 1, 1, 1)); most <= plan.MaxLayers {
		t.Errorf("at most %d layers; want more than an image can have", most)
	}
}

// checkTimes returns the most layers of an image.
func checkTimes(t *testing.T, y year) (most int) {
	t.Helper()
	b, err := newBuilder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, s := range strategies(nil) {
		want, err := s.run(t.Context(), y, b)
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, want.MaxLayer)
		got, err := s.time(t.Context(), y, dir)
		if err != nil || got.Clock <= 0 || got.CPU <= 0 || got.Built != want.Registry {
			t.Errorf("%s: %+v, %v; want times, and %d bytes built", s.name, got, err, want.Registry)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	return most
}
