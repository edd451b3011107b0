package main

import (
	"fmt"
	"io"

	"github.com/export-profile/export-profile/profile"
)

// drawing draws a graph as a tree, as nix-store --tree and nix why-depends do.
// It draws what is below a node only once.
type drawing struct {
	w     io.Writer
	label func(profile.Path) string
	edge  func(from, to profile.Path) []string // lines about a reference, drawn above its target; may be nil
	seen  map[profile.Path]bool
	err   error
}

func (d *drawing) draw(root profile.Path, below func(profile.Path) []profile.Path) {
	if d.seen == nil {
		d.seen = make(map[profile.Path]bool)
	}
	d.printf("%s\n", d.label(root))
	d.children(root, "", below)
}

func (d *drawing) children(p profile.Path, margin string, below func(profile.Path) []profile.Path) {
	d.seen[p] = true
	children := below(p)
	for i, c := range children {
		if d.err != nil {
			return
		}
		tee, bar := "├───", "│   "
		if i == len(children)-1 {
			tee, bar = "└───", "    "
		}
		lead := tee
		if d.edge != nil {
			for k, line := range d.edge(p, c) {
				if k == 0 {
					d.printf("%s%s%s\n", margin, tee, line)
				} else {
					d.printf("%s%s%s\n", margin, bar, line)
				}
			}
			lead = bar + "→ "
		}
		again := d.seen[c] && len(below(c)) > 0
		mark := ""
		if again {
			mark = " [...]"
		}
		d.printf("%s%s%s%s\n", margin, lead, d.label(c), mark)
		if !again {
			d.children(c, margin+bar, below)
		}
	}
}

func (d *drawing) printf(format string, args ...any) {
	if d.err == nil {
		_, d.err = fmt.Fprintf(d.w, format, args...)
	}
}
