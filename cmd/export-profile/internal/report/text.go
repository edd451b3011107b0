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

// printable quotes a text that has invisible characters or bytes that are no text:
// control characters, changes of the writing direction, bytes that are not UTF-8.
func printable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	return strconv.Quote(s)
}

// page writes HTML. Its writer keeps the first error.
type page struct{ *bufio.Writer }

// put writes markup. It escapes the text for every %s, between tags and in quoted attributes.
func (p page) put(markup string, texts ...any) {
	for i, t := range texts {
		if s, ok := t.(string); ok {
			texts[i] = html.EscapeString(printable(s))
		}
	}
	fmt.Fprintf(p, markup, texts...)
}
