package manual

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got := Parse("before\n# The title\n\n## `a` and B's!\ntext\n```\n# no heading\n```\n    # code\n#none\n")
	want := []Section{
		{Title: "The title", Anchor: "the-title", Level: 1, Lines: []string{""}},
		{Title: "`a` and B's!", Anchor: "a-and-bs", Level: 2, Lines: []string{"text", "```", "# no heading", "```", "    # code", "#none"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Parse (-want +got):\n%s", d)
	}
	if !got[0].Empty() || got[1].Empty() || got[1].Plain() != "a and B's!" {
		t.Errorf("sections are empty: %t, %t, and the second has the title %q", got[0].Empty(), got[1].Empty(), got[1].Plain())
	}
}

func TestText(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"a paragraph", "one two three four\nfive **six** \\*", "one two three four\nfive six *\n"},
		{"code in a paragraph", "`a ** \\* <` &lt;b", "`a ** \\* <` <b\n"},
		{"code", "    one two three four five six seven\n\n    two\n\nend", "    one two three four five six seven\n\n    two\n\nend\n"},
		{"output", "```console\n$ x\n\n# y\n```\nend", "    $ x\n\n    # y\n\nend\n"},
		{"output without an end", "```\nx", "    x\n"},
		{"a list", "text:\n- one two three four five\n  six\n- b", "text:\n\n- one two three four\n  five six\n- b\n"},
		{"links", "[a](#near), [`b`](x.go), [c](none)", "a (help near), `b`\n[1], c\n\n[1] https://x/x.go\n"},
		{"a table", "| a | b |\n|---|---|\n| `1\\|2` | 3 |\n|  | 4 |", "a      b\n-----  -\n`1|2`  3\n       4\n"},
		{"a wide table", "| | b |\n|---|---|\n| one | two three four five six |\n| x | y |",
			"     b\n---  ---------------\n\none  two three four\n     five six\n\nx    y\n"},
		{"a comment", "<!-- begin -->\ntext\n<!-- end -->", "text\n"},
		{"nothing", "\n\n", ""},
	} {
		link := func(target string) string {
			switch target {
			case "#near":
				return "help near"
			case "none":
				return ""
			}
			return "https://x/" + target
		}
		s := Section{Title: "The `T`", Level: 3, Lines: strings.Split(tt.in, "\n")}
		want := "The T\n-----\n"
		if tt.want != "" {
			want += "\n" + tt.want
		}
		if d := cmp.Diff(want, s.Text(20, link)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		text  string
		width int
		want  []string
	}{
		{"", 5, []string{""}},
		{"a bc def", 4, []string{"a bc", "def"}},
		{"a bc def", 8, []string{"a bc def"}},
		{"abcdef g", 3, []string{"abcdef", "g"}},
		{"ä… ö", 4, []string{"ä… ö"}},
	} {
		if got := Wrap(tt.text, tt.width); !slices.Equal(got, tt.want) {
			t.Errorf("Wrap(%q, %d) = %q; want %q", tt.text, tt.width, got, tt.want)
		}
	}
}
