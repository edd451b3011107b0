// Package manual divides the READMEs that are the manual into sections, and prints sections as plain text for a terminal.
//
// It knows the Markdown that these READMEs have: headings, paragraphs, lists of one level, tables, code and links.
package manual

import (
	"slices"
	"strings"
	"unicode"
)

// Section is a heading and the text between it and the next one.
type Section struct {
	Title  string // as in the README, without the number signs
	Anchor string // by which links name the section, as GitHub makes them
	Level  int    // 1 for the title of the README
	Lines  []string
}

// Parse divides a README into its sections.
func Parse(text string) (all []Section) {
	fenced := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, fence) {
			fenced = !fenced
		}
		marks := len(line) - len(strings.TrimLeft(line, "#"))
		if title, ok := strings.CutPrefix(line[marks:], " "); ok && marks > 0 && !fenced {
			all = append(all, Section{Title: title, Anchor: anchor(title), Level: marks})
			continue
		}
		if len(all) > 0 {
			last := &all[len(all)-1]
			last.Lines = append(last.Lines, line)
		}
	}
	return all
}

// fence begins and ends code with output.
const fence = "```"

// anchor keeps the letters, digits, spaces and dashes of a title.
func anchor(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsNumber(r):
			return r
		}
		return -1
	}, strings.ToLower(title))
}

// Empty says whether a section has no text of its own.
func (s Section) Empty() bool {
	return !slices.ContainsFunc(s.Lines, func(line string) bool { return strings.TrimSpace(line) != "" })
}

// Plain is a title as it is printed.
func (s Section) Plain() string { return strings.ReplaceAll(s.Title, "`", "") }
