package main

import (
	"fmt"
	"regexp"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/export-profile/export-profile/cmd/export-profile/internal/manual"
)

// undated makes mandoc and groff show no date of their own.
const undated = "$Mdocdate$"

// buildDate returns the date of the commit that the program was built from, as mdoc writes dates.
// It does not ask the clock, so that a build always prints the same page.
func buildDate() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return undated
	}
	for _, s := range info.Settings {
		if s.Key != "vcs.time" {
			continue
		}
		if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
			return t.UTC().Format("January 2, 2006")
		}
	}
	return undated
}

// manPage returns a manual page in mdoc, made from the texts of help.
func manPage(date string) string {
	p := &page{}
	p.line(".Dd %s", date)
	p.line(".Dt EXPORT-PROFILE 1")
	p.line(".Os")
	p.section("NAME")
	p.line(".Nm export-profile")
	p.line(".Nd make root filesystems and OCI images from profiles of Nix and Guix")
	p.section("SYNOPSIS")
	p.line(".Nm")
	p.line(".Ar command")
	p.line(".Op Ar flags")
	p.line(".Op Ar arguments")
	p.line(".Nm")
	p.line(".Op Ar flags")
	p.line(".Ar rootdir")
	p.section("DESCRIPTION")
	p.text(introduction)
	p.line(".Pp")
	p.text("Each command is explained below. FLAGS lists the flags of all commands.")
	p.section("COMMANDS")
	for _, c := range commands() {
		p.line(".Ss %s", c.name)
		p.text("Usage: " + c.synopsis())
		examples, rest, _ := strings.Cut(c.help, "\n\n")
		for paragraph := range strings.SplitSeq(strings.TrimSpace(rest), "\n\n") {
			if paragraph != "" {
				p.line(".Pp")
				p.paragraph(paragraph)
			}
		}
		p.literal(examples)
	}
	p.section("FLAGS")
	p.text("The commands in parentheses have the flag.")
	all := allFlags()
	for i, d := range all {
		if i == 0 || all[i-1].group != d.group {
			if i > 0 {
				p.line(".El")
			}
			heading := flagGroups[d.group].heading
			p.line(".Ss %s", strings.ToUpper(heading[:1])+heading[1:])
			p.line(".Bl -tag -width 8n")
		}
		item := `.It Fl \-` + manEscape(d.name)
		if d.arg != "" {
			item += " Ar " + manEscape(d.arg)
		}
		if d.shorthand != "" {
			item += " , Fl " + d.shorthand
		}
		p.line("%s", item)
		p.text(strings.ToUpper(d.usage[:1]) + d.usage[1:] + ".")
		p.text("(" + strings.Join(d.commands, ", ") + ")")
	}
	p.line(".El")
	p.section("ENVIRONMENT")
	p.list("Ev", helpEnvironment)
	p.section("FILES")
	p.list("Pa", helpFiles)
	p.section("EXIT STATUS")
	p.line(".Bl -tag -width 1n")
	for _, e := range exitStatuses {
		p.line(".It %s", e.status)
		p.text(e.meaning)
	}
	p.line(".El")
	p.section("EXAMPLES")
	p.literal(usageExamples)
	p.section("SEE ALSO")
	p.text("`export-profile help CHAPTER` prints a chapter of the manual: " + strings.Join(chapterNames(), ", ") + ".")
	return p.b.String()
}

// page is a manual page that is being written.
type page struct{ b strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

func (p *page) section(name string) { p.line(".Sh %s", name) }

// list writes names, in the font of an mdoc macro, and what they mean.
func (p *page) list(macro string, rows []struct{ names, meaning string }) {
	p.line(".Bl -tag -width 8n")
	for _, row := range rows {
		p.line(".It %s %s", macro, manEscape(strings.ReplaceAll(row.names, ",", " ,")))
		p.text(row.meaning)
	}
	p.line(".El")
}

// sentenceEnd is where one sentence ends and another begins. mdoc wants each sentence on a line of its own.
var sentenceEnd = regexp.MustCompile(`([.!?]['")]*) +([A-Z/~$(-])`)

// text writes a paragraph.
func (p *page) text(paragraph string) {
	joined := strings.Join(strings.Fields(paragraph), " ")
	for sentence := range strings.SplitSeq(sentenceEnd.ReplaceAllString(joined, "$1\n$2"), "\n") {
		for _, line := range manual.Wrap(manEscape(sentence), 78) {
			if strings.HasPrefix(line, ".") {
				line = `\&` + line
			}
			p.line("%s", line)
		}
	}
}

// paragraph writes text whose indented lines keep their form.
func (p *page) paragraph(text string) {
	before, list, ok := strings.Cut(text, "\n  ")
	p.text(before)
	if ok {
		p.literal("\n  " + list)
	}
}

// literal writes examples as they are typed: the lines after the first, which says that they are examples.
func (p *page) literal(examples string) {
	_, lines, _ := strings.Cut(strings.TrimRight(examples, "\n"), "\n")
	p.line(".Bd -literal -offset indent")
	for line := range strings.SplitSeq(lines, "\n") {
		p.line("%s", manEscape(strings.TrimPrefix(line, "  ")))
	}
	p.line(".Ed")
}

// manEscape writes characters such that readers can copy them: roff makes typographic ones of some.
// Others than those of ASCII have names, which all readers of manual pages know.
func manEscape(text string) string {
	var b strings.Builder
	for _, r := range roffMarks.Replace(text) {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\[u%04X]`, r)
		}
	}
	return b.String()
}

var roffMarks = strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, `^`, `\(ha`, `~`, `\(ti`, `"`, `\(dq`)
