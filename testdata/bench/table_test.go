package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func walls(seconds ...float64) *series {
	s := &series{}
	for _, w := range seconds {
		s.samples = append(s.samples, sample{Wall: w})
	}
	return s
}

// TestResult checks how samples become a row of the table.
func TestResult(t *testing.T) {
	for _, tt := range []struct {
		name       string
		row        row
		ours, peer *series
		want       result
	}{
		// The ratio is the median of each round's (0.5, 0.1, 0.4), not that of the medians (2 : 5).
		{"rounds", row{limit: 0.45}, walls(2, 1, 4), walls(4, 10, 10),
			result{Ours: "2.00 (1.00) s", Peer: "10.00 (4.00) s", Ratio: "0.40", Least: "0.25", Target: "≤ 0.45", Met: "yes", Rounds: "3"}},
		{"missed", row{limit: 0.39}, walls(2, 1, 4), walls(4, 10, 10),
			result{Ours: "2.00 (1.00) s", Peer: "10.00 (4.00) s", Ratio: "0.40", Least: "0.25", Target: "≤ 0.39", Met: "no", Rounds: "3"}},
		{"even", row{}, walls(1, 3), walls(2, 2),
			result{Ours: "2.00 (1.00) s", Peer: "2.00 s", Ratio: "1.00", Least: "0.50", Met: "–", Rounds: "2"}},
		// A slow peer is measured in fewer rounds.
		{"slow", row{limit: 0.1}, walls(1, 1, 50), walls(10),
			result{Ours: "1.00 s", Peer: "10.00 s", Ratio: "0.10", Least: "0.10", Target: "≤ 0.10", Met: "yes", Rounds: "1"}},
		{"allowance", row{less: 0.5, limit: 1}, walls(2.5), walls(2),
			result{Ours: "2.50 s", Peer: "2.00 s", Ratio: "1.00", Least: "1.00", Target: "≤ 1.00", Met: "yes", Rounds: "1"}},
		{"within the allowance", row{less: 0.5, limit: 1}, walls(0.1), walls(2),
			result{Ours: "0.10 s", Peer: "2.00 s", Ratio: "0.00", Least: "0.00", Target: "≤ 1.00", Met: "yes", Rounds: "1"}},
		{"limit itself", row{limit: 0.05, target: "≤ 0.05 s"}, walls(0.06, 0.05, 0.04), nil,
			result{Ours: "0.05 (0.04) s", Target: "≤ 0.05 s", Met: "yes", Rounds: "3"}},
		{"nothing allowed", row{target: "0"}, walls(1), nil,
			result{Ours: "1.00 s", Target: "0", Met: "no", Rounds: "1"}},
		{"failed", row{limit: 1}, walls(1), &series{err: errors.New("no such tool")},
			result{Ours: "failed", Target: "≤ 1.00", Met: "no"}},
		{"not available", row{limit: 1}, &series{err: fmt.Errorf("image: %w", &notAvailableError{"a cache"})}, walls(1),
			result{Ours: "not available", Target: "≤ 1.00", Met: "–"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.row.ours, tt.row.value = "ours", seconds
			measured := map[string]*series{"ours": tt.ours}
			if tt.peer != nil {
				tt.row.peer, measured["peer"] = "peer", tt.peer
			}
			got := tt.row.result(measured)
			got.RSS, got.CPU, got.Bytes = "", "", ""
			if got != tt.want {
				t.Errorf("result = %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// TestPerByte checks a ratio per byte of the result.
func TestPerByte(t *testing.T) {
	r := row{value: seconds, per: true}
	ours, peer := sample{Wall: 1, Size: 50}, sample{Wall: 1, Size: 100}
	if q := r.quotient(ours, peer); q != 2 {
		t.Errorf("quotient = %v; want 2, since half as much was written in the same time", q)
	}
}

// TestRows checks that each action of a row exists, and that names of rows are unique.
func TestRows(t *testing.T) {
	l := &lab{base: &generation{}}
	actions := l.allActions()
	names := make(map[string]bool)
	for _, r := range rows() {
		if names[r.what] {
			t.Errorf("two rows are called %q", r.what)
		}
		names[r.what] = true
		for _, name := range []string{r.ours, r.peer} {
			if name != "" && actions[name] == nil {
				t.Errorf("%s: no action %q", r.what, name)
			}
		}
		if strings.Contains(r.what, "|") {
			t.Errorf("%q contains a cell separator", r.what)
		}
	}
	for name := range slow {
		if actions[name] == nil {
			t.Errorf("slow action %q does not exist", name)
		}
	}
}

// TestChanged checks which paths of a closure are new.
func TestChanged(t *testing.T) {
	from := &generation{closure: []string{"a", "b", "d"}}
	g := &generation{closure: []string{"a", "c", "d", "e"}}
	if got := strings.Join(g.changed(from), " "); got != "c e" {
		t.Errorf("changed = %q; want %q", got, "c e")
	}
}

// TestBelowStore checks which lines of a trace count as files opened below the store.
func TestBelowStore(t *testing.T) {
	trace := `7 openat(AT_FDCWD</w>, "/nix/store", O_RDONLY|O_CLOEXEC) = 3</nix/store>
7 openat(AT_FDCWD</w>, "/nix/var/nix/db/db.sqlite", O_RDWR) = 4</nix/var/nix/db/db.sqlite>
7 openat(3</nix/store>, "a-hello", O_RDONLY) = 5</nix/store/a-hello>
7 openat(3</nix/store>, "b-hello", O_RDONLY) = -1 ENOENT (No such file or directory)
7 openat(5</nix/store/a-hello>, "bin", O_RDONLY) = 6</nix/store/a-hello/bin>
`
	if got := len(belowStore.FindAllString(trace, -1)); got != 3 {
		t.Errorf("found %d files opened below the store; want 3", got)
	}
}
