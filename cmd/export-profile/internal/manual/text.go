package manual

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"
)

// Text returns a section as plain text in lines of at most width characters; code keeps its lines.
// link says what is printed behind the words of a link to a target; "" is nothing. Places with :// in them are printed at the end.
func (s Section) Text(width int, link func(target string) string) string {
	under := "-"
	if s.Level <= 2 {
		under = "="
	}
	title := s.Plain()
	w := &writer{width: width, link: link}
	w.block([]string{title, strings.Repeat(under, utf8.RuneCountInString(title))})
	for lines := s.Lines; len(lines) > 0; {
		lines = w.next(lines)
	}
	if len(w.urls) > 0 {
		var notes []string
		for i, url := range w.urls {
			notes = append(notes, fmt.Sprintf("[%d] %s", i+1, url))
		}
		w.block(notes)
	}
	return w.b.String()
}

// writer writes blocks with a blank line between them.
type writer struct {
	b     strings.Builder
	width int
	link  func(string) string
	urls  []string // to be printed at the end
}

func (w *writer) block(lines []string) {
	if w.b.Len() > 0 {
		w.b.WriteByte('\n')
	}
	for _, line := range lines {
		w.b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

const indent = "    " // of code

// next writes the block at the beginning of lines, and returns the other lines.
func (w *writer) next(lines []string) []string {
	first := lines[0]
	switch {
	case first == "", strings.HasPrefix(first, "<!--"):
		return lines[1:]
	case strings.HasPrefix(first, fence):
		n := 1
		var code []string
		for n < len(lines) && !strings.HasPrefix(lines[n], fence) {
			code = append(code, indent+lines[n])
			n++
		}
		w.block(code)
		return lines[min(n+1, len(lines)):]
	case strings.HasPrefix(first, indent):
		n := 1
		for n < len(lines) && (strings.HasPrefix(lines[n], indent) || lines[n] == "" && n+1 < len(lines) && strings.HasPrefix(lines[n+1], indent)) {
			n++
		}
		w.block(lines[:n])
		return lines[n:]
	case strings.HasPrefix(first, "|"):
		n := count(lines, func(line string) bool { return strings.HasPrefix(line, "|") })
		w.block(w.table(lines[:n]))
		return lines[n:]
	case strings.HasPrefix(first, item):
		n := count(lines, func(line string) bool { return strings.HasPrefix(line, item) || strings.HasPrefix(line, "  ") })
		w.block(w.list(lines[:n]))
		return lines[n:]
	}
	n := 1 + count(lines[1:], func(line string) bool {
		return line != "" && !strings.HasPrefix(line, item) && !strings.HasPrefix(line, "|") && !strings.HasPrefix(line, fence) &&
			!strings.HasPrefix(line, "<!--")
	})
	w.block(Wrap(w.inline(strings.Join(lines[:n], " ")), w.width))
	return lines[n:]
}

// count returns how many lines at the beginning fulfil a condition.
func count(lines []string, is func(string) bool) (n int) {
	for n < len(lines) && is(lines[n]) {
		n++
	}
	return n
}

const item = "- "

// list returns a list, each item wrapped behind its dash.
func (w *writer) list(lines []string) (text []string) {
	for len(lines) > 0 {
		n := 1 + count(lines[1:], func(line string) bool { return !strings.HasPrefix(line, item) })
		words := strings.TrimPrefix(strings.Join(lines[:n], " "), item)
		for i, line := range Wrap(w.inline(words), w.width-len(item)) {
			if i == 0 {
				text = append(text, item+line)
				continue
			}
			text = append(text, "  "+line)
		}
		lines = lines[n:]
	}
	return text
}

// linked matches a link. Most runs print no chapter, and need no expression.
var linked = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\[([^\]]*)\]\(([^)\s]+)\)`) })

var escaped = strings.NewReplacer("**", "", `\*`, "*", "&lt;", "<", "<br> ", "")

// inline returns text without marks of Markdown. Code keeps its backquotes, which show where it begins and ends.
func (w *writer) inline(text string) string {
	text = linked().ReplaceAllStringFunc(text, func(found string) string {
		m := linked().FindStringSubmatch(found)
		where := w.link(m[2])
		switch {
		case where == "":
			return m[1]
		case strings.Contains(where, "://"):
			w.urls = append(w.urls, where)
			return fmt.Sprintf("%s [%d]", m[1], len(w.urls))
		}
		return m[1] + " (" + where + ")"
	})
	parts := strings.Split(text, "`")
	for i := 0; i < len(parts); i += 2 {
		parts[i] = escaped.Replace(parts[i])
	}
	return strings.Join(parts, "`")
}

// Wrap breaks text between words into lines of at most so many characters. A longer word has its own line.
func Wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}
