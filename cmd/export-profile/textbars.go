package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

// barsFlag says whether a result has bars beside its sizes. Without the flag, it has them on a terminal.
type barsFlag struct {
	draw bool
	flag *pflag.Flag
}

func (b *barsFlag) flags(fs *pflag.FlagSet) {
	fs.BoolVar(&b.draw, "bars", false, "draw sizes as bars (default on a terminal)")
	b.flag = fs.Lookup("bars")
}

const (
	fewestColumns  = 60  // a narrower terminal has no room for bars
	defaultColumns = 100 // without a terminal
)

// columns returns the width of lines with bars, or 0 if there are to be none.
func (b *barsFlag) columns(out io.Writer) int {
	width, shown := terminalWidth(out)
	shown = shown && os.Getenv("TERM") != "dumb"
	switch {
	case b.flag.Changed && !b.draw, !b.flag.Changed && !shown:
		return 0
	case !shown || width <= 0:
		return defaultColumns
	case width >= fewestColumns:
		return width
	case b.flag.Changed:
		return fewestColumns
	}
	return 0
}

// share is a part of a bar.
type share struct {
	glyph rune
	bytes int64
}

// The glyphs of bars, from what is there already to what is not.
const (
	thereGlyph  = '█'
	nearGlyph   = '▓' // in a cache
	formerGlyph = '▒' // in another form, or only in the former image
	newGlyph    = '░'
)

// barScale draws bars: one of most bytes has width cells.
type barScale struct {
	most  int64
	width int
}

// bar draws shares one after the other, and fills up with spaces. A share that is not empty has a cell at least,
// so that nothing is overlooked, if the bar has room.
func (s barScale) bar(shares ...share) string {
	var b strings.Builder
	left, sum, drawn := s.width, 0.0, 0
	for _, sh := range shares {
		if sh.bytes <= 0 || s.most <= 0 {
			continue
		}
		sum += float64(sh.bytes)
		end := int(math.Round(sum / float64(s.most) * float64(s.width)))
		cells := min(max(end-drawn, 1), left)
		b.WriteString(strings.Repeat(string(sh.glyph), cells))
		left, drawn = left-cells, drawn+cells
	}
	return b.String() + strings.Repeat(" ", left)
}

// sizeRow is a line that compares a sum of bytes with those of other lines.
type sizeRow struct {
	name   string
	shares []share
}

func (r sizeRow) sum() (n int64) {
	for _, s := range r.shares {
		n += max(s.bytes, 0)
	}
	return n
}

// drawRows draws rows with their sums, all on the same scale.
func drawRows(rows []sizeRow, columns int) string {
	const start = 30 // columns before the bars, as in the lines of plan
	scale := barScale{width: min(columns-start, 60)}
	for _, r := range rows {
		scale.most = max(scale.most, r.sum())
	}
	var b strings.Builder
	for _, r := range rows {
		line := fmt.Sprintf("%-*s %10s  %s", start-13, r.name, humanBytes(r.sum()), scale.bar(r.shares...))
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// cutText shortens a text to a number of columns.
func cutText(s string, columns int) string {
	if utf8.RuneCountInString(s) <= columns {
		return s
	}
	return string([]rune(s)[:max(columns-1, 0)]) + "…"
}
