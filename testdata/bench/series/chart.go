package main

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// Sizes of the chart, in pixels. Each series has a panel.
const (
	panelWidth  = 520
	panelHeight = 360
	marginLeft  = 62
	marginTop   = 36
	marginRight = 16
	panelBottom = 40
	legendLine  = 18
)

// colours are those of Okabe and Ito, which people with any colour vision can tell apart.
var colours = []string{"#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#000000", "#009e73", "#cc79a7", "#8c6d31", "#999999", "#b2182b", "#4d4d4d"}

// chart draws what a node has pulled by each week, for all series side by side, with a logarithmic scale. Equal results make equal bytes.
func chart(all []result) string {
	rows := 0
	for _, r := range all {
		rows = max(rows, len(r.rows))
	}
	const columns = 2
	lines := (rows + columns - 1) / columns
	width, height := panelWidth*len(all), marginTop+panelHeight+panelBottom+legendLine*lines+8
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	for i, r := range all {
		panel(&b, r, i*panelWidth)
	}
	if len(all) > 0 {
		legend(&b, all[0].rows, lines, width/columns)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// panel draws a series at a distance from the left.
func panel(b *strings.Builder, r result, left int) {
	low, high := r.bounds()
	plotWidth := float64(panelWidth - marginLeft - marginRight)
	x := func(week, weeks int) float64 {
		return float64(left+marginLeft) + plotWidth*float64(week)/float64(max(1, weeks))
	}
	y := func(bytes int64) float64 {
		at := (math.Log10(float64(max(bytes, 1))) - float64(low)) / float64(high-low)
		return float64(marginTop) + float64(panelHeight)*(1-min(1, max(0, at)))
	}
	title := fmt.Sprintf("%d images: MB that a node has pulled after the first pull", r.images)
	if r.images == 1 {
		title = "One image: MB that a node has pulled after the first pull"
	}
	text(b, float64(left+marginLeft), marginTop-14, "start", title)
	right := x(1, 1)
	for power := low; power <= high; power++ {
		value := int64(math.Pow10(power))
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ccc"/>`+"\n", left+marginLeft, y(value), right, y(value))
		text(b, float64(left+marginLeft-6), y(value)+4, "end", fmt.Sprint(float64(value)/1e6))
	}
	weeks := 0
	for _, row := range r.rows {
		weeks = max(weeks, len(row.Weekly))
	}
	for week := 0; week <= weeks; week += 4 {
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#999"/>`+"\n", x(week, weeks), marginTop+panelHeight, x(week, weeks), marginTop+panelHeight+4)
		if week%8 == 0 {
			text(b, x(week, weeks), marginTop+panelHeight+18, "middle", fmt.Sprint(week))
		}
	}
	text(b, x(1, 2), marginTop+panelHeight+34, "middle", "week")
	for i, row := range r.rows {
		var points []string
		pulled := int64(0)
		for week, n := range row.Weekly {
			if pulled += n; pulled > 0 {
				points = append(points, fmt.Sprintf("%.1f,%.1f", x(week+1, weeks), y(pulled)))
			}
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" %s/>`+"\n", strings.Join(points, " "), stroke(row, i))
	}
}

// bounds returns the powers of ten around all values.
func (r result) bounds() (low, high int) {
	low, high = math.MaxInt, 0
	for _, row := range r.rows {
		pulled := int64(0)
		for _, n := range row.Weekly {
			if pulled += n; pulled > 0 {
				low = min(low, int(math.Floor(math.Log10(float64(pulled)))))
			}
		}
		high = max(high, int(math.Ceil(math.Log10(float64(max(pulled, 10))))))
	}
	return min(max(low, 3), high-1), high
}

func stroke(r row, i int) string {
	width, dashes := "1.5", ""
	if r.ours {
		width = "2.5"
	}
	if r.bound {
		dashes = ` stroke-dasharray="2 3"`
	}
	return fmt.Sprintf(`stroke="%s" stroke-width="%s"%s`, colours[i%len(colours)], width, dashes)
}

// legend names the rows, from top to bottom in each column.
func legend(b *strings.Builder, rows []row, lines, columnWidth int) {
	for i, row := range rows {
		left := float64(i/lines*columnWidth + marginLeft)
		top := float64(marginTop + panelHeight + panelBottom + 12 + i%lines*legendLine)
		fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" %s/>`+"\n", left, top-4, left+28, top-4, stroke(row, i))
		text(b, left+36, top, "start", strings.ReplaceAll(row.name, "`", ""))
	}
}

func text(b *strings.Builder, x, y float64, anchor, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s">`, x, y, anchor)
	_ = xml.EscapeText(b, []byte(s)) // a strings.Builder has no errors
	b.WriteString("</text>\n")
}
