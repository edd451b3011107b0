package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestDrawBusy checks the chart of a run that uses two cores for half of its time, then one,
// and half of one at the end, where it waits for the other half.
func TestDrawBusy(t *testing.T) {
	const s = time.Second
	var b bytes.Buffer
	drawBusy(&b, []moment{{s, usage{2 * s, 0}}, {2 * s, usage{4 * s, 0}}, {3 * s, usage{5 * s, 0}}, {4 * s, usage{5*s + s/2, s / 2}}}, 2)
	row := func(full int) string { return strings.Repeat("█", full) + strings.Repeat(" ", busyColumns-full) }
	want := " 2.0 |" + row(30) + "|\n" +
		" 1.5 |" + row(30) + "|\n" +
		" 1.0 |" + strings.Repeat("█", 45) + strings.Repeat("·", 15) + "|\n" +
		" 0.5 |" + row(60) + "|\n" +
		"     0 s" + strings.Repeat(" ", busyColumns-8) + "4.00 s\n" +
		"busy cores: 1.38, and 0.12 waited for; in the last quarter 0.50 and 0.50\n"
	if got := b.String(); got != want {
		t.Errorf("drawBusy wrote\n%s\nwant\n%s", got, want)
	}
}

// TestShowBusy runs a shell that uses CPU time in two processes of its group.
func TestShowBusy(t *testing.T) {
	var b bytes.Buffer
	err := showBusy(t.Context(), &b, []string{"sh", "-c", `i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done & i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; wait`})
	if err != nil || !regexp.MustCompile(`busy cores: (0\.[^0]|0\.0[^0]|[1-9])`).MatchString(b.String()) {
		t.Errorf("showBusy = %v, and wrote\n%s\nwant a chart with busy cores", err, b.String())
	}
	for _, args := range [][]string{nil, {"false"}, {"/no/such/program"}} {
		if err := showBusy(t.Context(), &b, args); err == nil {
			t.Errorf("showBusy(%q) = <nil>; want an error", args)
		}
	}
}
