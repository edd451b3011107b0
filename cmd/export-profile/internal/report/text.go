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

// printable is a text, quoted if something in it cannot be seen or is no text at all:
// control characters, those that change the direction of writing, bytes that are not UTF-8.
func printable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	return strconv.Quote(s)
}

// page writes HTML. Its first error is that of the writer, which keeps it.
type page struct{ *bufio.Writer }

// put writes markup, in which every %s is a text: it is never markup itself, between tags and in quoted attributes.
func (p page) put(markup string, texts ...any) {
	for i, t := range texts {
		if s, ok := t.(string); ok {
			texts[i] = html.EscapeString(printable(s))
		}
	}
	fmt.Fprintf(p, markup, texts...)
}
