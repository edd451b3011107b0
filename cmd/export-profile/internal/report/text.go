package report

import (
	"bufio"
	"fmt"
	"html"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable returns s, and quotes it if it has characters that are not visible or bytes that are not UTF-8.
// Control characters and those that change the direction of writing are not visible.
func printable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	return strconv.Quote(s)
}

// page writes HTML. The writer keeps its first error, so callers only check Flush.
type page struct{ *bufio.Writer }

// put writes markup. It escapes every %s, which may stand between tags or in a quoted attribute.
func (p page) put(markup string, texts ...any) {
	for i, t := range texts {
		if s, ok := t.(string); ok {
			texts[i] = html.EscapeString(printable(s))
		}
	}
	fmt.Fprintf(p, markup, texts...)
}
