package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// result holds the rows of a series.
type result struct {
	images int
	rows   []row
}

type row struct {
	strategy
	totals
}

func parseCounts(s string) (counts []int, err error) {
	for word := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("images %q: want numbers, at least 1", s)
		}
		counts = append(counts, n)
	}
	return counts, nil
}

// best returns the least value among peers.
func (r result) best(value func(totals) int64) int64 {
	least := int64(0)
	for _, row := range r.rows {
		if v := value(row.totals); !row.ours && !row.bound && (least == 0 || v < least) {
			least = v
		}
	}
	return least
}

func weekly(t totals) int64   { return t.EachWeek }
func fourth(t totals) int64   { return t.Fourth }
func registry(t totals) int64 { return t.Registry }

// table returns the series as a table in Markdown. Ratios compare with the best peer. Without times, it has no column for them.
func (r result) table() string {
	timed := slices.ContainsFunc(r.rows, func(r row) bool { return r.Took != buildTime{} })
	var b strings.Builder
	b.WriteString("| strategy | first pull, MB | each week, MB | ratio | every fourth, MB | ratio | registry, MB | ratio | unused at the end (most) | layers at the end (most) | compressed, GB |")
	if timed {
		b.WriteString(" build time (CPU), s |")
	}
	b.WriteString("\n|" + strings.Repeat("---|", 11))
	if timed {
		b.WriteString("---|")
	}
	b.WriteString("\n")
	for _, row := range r.rows {
		t := row.totals
		cell := func(value func(totals) int64) string {
			ratio := "–"
			if best := r.best(value); best > 0 {
				ratio = fmt.Sprintf("%.2f", float64(value(t))/float64(best))
			}
			return fmt.Sprintf("%s | %s", megabytes(value(t)), ratio)
		}
		unused := "–"
		if t.MaxUnused > 0 {
			unused = fmt.Sprintf("%.1f (%.1f) %%", 100*t.Unused, 100*t.MaxUnused)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %d (%d) | %.1f |", row.name, megabytes(t.First),
			cell(weekly), cell(fourth), cell(registry), unused, t.EndLayer, t.MaxLayer, float64(t.Build)/1e9)
		if timed {
			fmt.Fprintf(&b, " %.0f (%.0f) |", t.Took.Clock.Seconds(), t.Took.CPU.Seconds())
		}
		b.WriteString("\n")
	}
	return b.String()
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f", float64(n)/1e6) }

// text lists the changes of each week.
func (y year) text() string {
	var b strings.Builder
	for week, c := range y.changes {
		fmt.Fprintf(&b, "%2d: %s", week, strings.Join(c.revised, " "))
		if c.joined != "" {
			fmt.Fprintf(&b, "; %s joins", c.joined)
		}
		if c.left != "" {
			fmt.Fprintf(&b, "; %s leaves", c.left)
		}
		objects, before := 0, make(map[string]bool)
		if week > 0 {
			for _, m := range y.weeks[week-1] {
				for _, p := range m.store {
					before[p.Root] = true
				}
			}
			for _, m := range y.weeks[week] {
				for _, p := range m.store {
					if !before[p.Root] {
						before[p.Root] = true
						objects++
					}
				}
			}
		}
		fmt.Fprintf(&b, " (%d new store paths)\n", objects)
	}
	return b.String()
}
