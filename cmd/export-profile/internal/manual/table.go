package manual

import (
	"strings"
	"unicode/utf8"
)

const gap = 2 // columns between those of a table

// table returns a table in columns. If it is wider than the text, the widest columns become narrower,
// their cells take several lines, and blank lines separate the rows.
func (w *writer) table(lines []string) (text []string) {
	var rows [][]string
	for i, line := range lines {
		if i == 1 { // dashes
			continue
		}
		row := cells(line)
		for j := range row {
			row[j] = w.inline(row[j])
		}
		rows = append(rows, row)
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for j := range min(len(row), len(widths)) {
			widths[j] = max(widths[j], utf8.RuneCountInString(row[j]))
		}
	}
	wrapped := narrow(widths, w.width-gap*(len(widths)-1))
	for i, row := range rows {
		if i > 0 && wrapped {
			text = append(text, "")
		}
		if i == 0 && strings.Join(row, "") == "" { // a table without a heading
			continue
		}
		text = append(text, columns(row, widths)...)
		if i == 0 {
			var dashes []string
			for _, n := range widths {
				dashes = append(dashes, strings.Repeat("-", n))
			}
			text = append(text, strings.Join(dashes, strings.Repeat(" ", gap)))
		}
	}
	return text
}

// cells divides a line of a table.
func cells(line string) (row []string) {
	const bar = "\x00"
	line = strings.ReplaceAll(strings.Trim(line, " "), `\|`, bar)
	for cell := range strings.SplitSeq(strings.TrimSuffix(strings.TrimPrefix(line, "|"), "|"), "|") {
		row = append(row, strings.ReplaceAll(strings.TrimSpace(cell), bar, "|"))
	}
	return row
}

// narrow makes the widest columns equally narrow until all fit, and says whether it had to.
func narrow(widths []int, room int) (wrapped bool) {
	const least = 8
	for {
		sum, widest := 0, 0
		for j, n := range widths {
			sum += n
			if n > widths[widest] {
				widest = j
			}
		}
		if sum <= room || widths[widest] <= least {
			return wrapped
		}
		widths[widest]--
		wrapped = true
	}
}

// columns returns the lines of one row.
func columns(row []string, widths []int) (text []string) {
	var wrapped [][]string
	height := 0
	for j, n := range widths {
		lines := []string{""}
		if j < len(row) {
			lines = Wrap(row[j], n)
		}
		wrapped = append(wrapped, lines)
		height = max(height, len(lines))
	}
	for i := range height {
		var b strings.Builder
		for j, n := range widths {
			cell := ""
			if i < len(wrapped[j]) {
				cell = wrapped[j][i]
			}
			b.WriteString(cell)
			if j+1 < len(widths) {
				b.WriteString(strings.Repeat(" ", max(n-utf8.RuneCountInString(cell), 0)+gap))
			}
		}
		text = append(text, strings.TrimRight(b.String(), " "))
	}
	return text
}
