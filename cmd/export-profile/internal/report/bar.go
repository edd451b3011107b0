package report

import "fmt"

// stretch is a part of a bar.
type stretch struct {
	class string
	bytes int64
}

// bar draws bytes, of most bytes, as a bar. The policy allows no style attributes, so it is an SVG.
// Screen readers skip it: the figures stand beside it.
func (p page) bar(most int64, stretches ...stretch) {
	p.WriteString(`<svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">`)
	at := 0.0
	for _, s := range stretches {
		width := share(s.bytes, most)
		if s.bytes > 0 {
			width = max(width, 0.4) // so that one sees it
		}
		fmt.Fprintf(p, `<rect class="%s" x="%.2f" width="%.2f" height="1"/>`, s.class, at, width)
		at += width
	}
	p.WriteString("</svg>")
}

// balance draws a difference of at most most bytes: to the right what was added, and to the left what was removed.
func (p page) balance(most, difference int64) {
	class, at, width := "grown", 50.0, share(max(difference, -difference), most)/2
	if difference != 0 {
		width = max(width, 0.6)
	}
	if difference < 0 {
		class, at = "shrunk", at-width
	}
	fmt.Fprintf(p, `<svg class="bar balance" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">`+
		`<rect class="%s" x="%.2f" width="%.2f" height="1"/></svg>`, class, at, width)
}

// share returns bytes as a percentage of most.
func share(bytes, most int64) float64 {
	if most <= 0 {
		return 0
	}
	return 100 * float64(bytes) / float64(most)
}
