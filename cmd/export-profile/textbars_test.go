package main

import (
	"context"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestBar checks the cells of bars: none is lost, none is too many, and no share is overlooked.
func TestBar(t *testing.T) {
	const most = math.MaxInt64
	for _, tt := range []struct {
		name   string
		scale  barScale
		shares []share
		want   string
	}{
		{"empty", barScale{100, 4}, nil, "    "},
		{"nothing", barScale{0, 4}, []share{{'a', 0}}, "    "},
		{"all", barScale{100, 4}, []share{{'a', 100}}, "aaaa"},
		{"half", barScale{100, 4}, []share{{'a', 50}}, "aa  "},
		{"one byte", barScale{100, 4}, []share{{'a', 1}}, "a   "},
		{"shares", barScale{100, 4}, []share{{'a', 50}, {'b', 25}}, "aab "},
		{"a small share in the middle", barScale{100, 4}, []share{{'a', 49}, {'b', 1}, {'c', 50}}, "aabc"},
		{"more shares than cells", barScale{5, 2}, []share{{'a', 1}, {'b', 1}, {'c', 3}}, "ab"},
		{"a negative share", barScale{100, 4}, []share{{'a', -50}, {'b', 50}}, "bb  "},
		{"more than most", barScale{100, 4}, []share{{'a', 400}}, "aaaa"},
		{"the largest sizes", barScale{most, 4}, []share{{'a', most}, {'b', most}}, "aaaa"},
		{"no cells", barScale{100, 0}, []share{{'a', 100}}, ""},
	} {
		if got := tt.scale.bar(tt.shares...); got != tt.want {
			t.Errorf("%s: %q; want %q", tt.name, got, tt.want)
		}
	}
}

// TestBarsOnTerminal checks that plan draws bars on a terminal that has room for them, and that its lines end there.
func TestBarsOnTerminal(t *testing.T) {
	export := "../../testdata/basic.nix-export"
	for _, tt := range []struct {
		columns int
		term    string
		args    []string
		bars    bool
	}{
		{59, "xterm", nil, false},
		{60, "xterm", nil, true},
		{80, "xterm", nil, true},
		{200, "xterm", nil, true},
		{80, "dumb", nil, false},
		{80, "xterm", []string{"--bars=false"}, false},
		{40, "xterm", []string{"--bars"}, true},
	} {
		t.Setenv("TERM", tt.term)
		shown, screen := openTerminal(t, tt.columns)
		status := run(context.Background(), append([]string{"plan", "--no-cache", "--layers", "per-path", "--from", export}, tt.args...),
			terminal{in: os.Stdin, out: screen, err: io.Discard})
		screen.Close()
		b, _ := io.ReadAll(shown) // the last read fails after the writer closes
		got := string(b)
		if status != 0 || strings.Contains(got, "░") != tt.bars || !strings.Contains(got, "tools-9.1") {
			t.Errorf("%d columns, TERM=%s, %q: exits with %d and prints %q; want bars: %v", tt.columns, tt.term, tt.args, status, got, tt.bars)
		}
		for line := range strings.Lines(got) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\r\n")); strings.Contains(line, "░") && n > max(tt.columns, fewestColumns) {
				t.Errorf("%d columns: a line has %d: %q", tt.columns, n, line)
			}
		}
	}
}
