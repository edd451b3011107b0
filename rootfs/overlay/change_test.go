package overlay

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var changeTests = []struct {
	word Word
	in   string
	want Change
	err  string // part of the error
}{
	{Add, "a:/b", Change{Source: "a", Place: "/b"}, ""},
	{Add, "-:/b", Change{Source: "-", Place: "/b"}, ""},
	{Add, "a:/b/", Change{Source: "a", Place: "/b", Into: true}, ""},
	{Add, "a:/", Change{Source: "a", Place: "/", Into: true}, ""},
	{Add, "a://b//c/.", Change{Source: "a", Place: "/b/c"}, ""},
	{Add, "a:/b:0640", Change{Source: "a", Place: "/b", HasMode: true, Mode: 0o640}, ""},
	{Add, "a:/b:4755:7", Change{Source: "a", Place: "/b", HasMode: true, Mode: fs.ModeSetuid | 0o755, HasOwner: true, UID: 7, GID: 7}, ""},
	{Add, "a:/b::7:8", Change{Source: "a", Place: "/b", HasOwner: true, UID: 7, GID: 8}, ""},
	{Add, `a\:b:/c\:d`, Change{Source: "a:b", Place: "/c:d"}, ""},
	{Add, `a\b\\:/c`, Change{Source: `a\b\`, Place: "/c"}, ""},
	{Add, "a", Change{}, "no place in the image"},
	{Add, "", Change{}, "no source"},
	{Add, ":/b", Change{}, "no source"},
	{Add, "a:b", Change{}, `"b" is not an absolute path`},
	{Add, "a:", Change{}, `"" is not an absolute path`},
	{Add, "C:/x:/y", Change{}, `mode "/y" is not octal`},
	{Add, "a:/b:", Change{}, `mode "" is not octal`},
	{Add, "a:/b:8", Change{}, "is not octal"},
	{Add, "a:/b:10000", Change{}, "is not octal"},
	{Add, "a:/b:644:-1", Change{}, `"-1" is not a number`},
	{Add, "a:/b:644:4294967295", Change{}, "is not a number"},
	{Add, "a:/b:644:1:1:1", Change{}, `a colon in a path is written \:`},
	{Add, "a:/../b", Change{}, `name "..": not allowed`},
	{Add, "a:/b/.wh.c", Change{}, "would delete a file"},
	{Add, "a\x00:/b", Change{}, "NUL"},
	{Mkdir, "/a", Change{Place: "/a"}, ""},
	{Mkdir, "/a/", Change{Place: "/a"}, ""},
	{Mkdir, "/a:1777:0:5", Change{Place: "/a", HasMode: true, Mode: fs.ModeSticky | 0o777, HasOwner: true, GID: 5}, ""},
	{Mkdir, "/a:2775", Change{Place: "/a", HasMode: true, Mode: fs.ModeSetgid | 0o775}, ""},
	{Mkdir, "/a:4755", Change{}, "a directory cannot be setuid"},
	{Mkdir, "/", Change{}, "root of the image"},
	{Mkdir, "a", Change{}, "not an absolute path"},
	{Symlink, "../x:/a", Change{Target: "../x", Place: "/a"}, ""},
	{Symlink, `c\:x:/a`, Change{Target: "c:x", Place: "/a"}, ""},
	{Symlink, "x:/a:644", Change{}, "too many fields"},
	{Symlink, ":/a", Change{}, "empty link target"},
	{Symlink, "/a", Change{}, "no place"},
	{Symlink, "x:/a/", Change{}, "not a slash"},
	{Whiteout, "/a", Change{Place: "/a"}, ""},
	{Whiteout, "/", Change{}, "root of the image"},
	{Whiteout, "/a:644", Change{}, "too many fields"},
}

var parsers = map[Word]func(string) (Change, error){Add: ParseAdd, Mkdir: ParseMkdir, Symlink: ParseSymlink, Whiteout: ParseWhiteout}

func TestParseChange(t *testing.T) {
	for _, test := range changeTests {
		got, err := parsers[test.word](test.in)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), ", as in ") {
				t.Errorf("%s %q = %+v, %v; want an error with %q and an example", test.word, test.in, got, err, test.err)
			}
			continue
		}
		test.want.Word = test.word
		if d := cmp.Diff(test.want, got); d != "" || err != nil {
			t.Errorf("%s %q: %v (-want +got):\n%s", test.word, test.in, err, d)
		}
	}
}

// TestExamples checks that the examples in error texts parse.
func TestExamples(t *testing.T) {
	for word, example := range examples {
		_, value, _ := strings.Cut(example, ", as in ")
		if _, err := parsers[word](value); err != nil {
			t.Errorf("%s: %v", word, err)
		}
	}
}

// TestTitle checks that a title does not contain the source.
func TestTitle(t *testing.T) {
	c, err := ParseAdd("/home/someone/secret:/etc/:0600:1")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Title(), "add /etc/"; got != want {
		t.Errorf("Title() = %q; want %q", got, want)
	}
}

// FuzzParseChange checks that String returns what parses to the same change.
func FuzzParseChange(f *testing.F) {
	words := []Word{Add, Mkdir, Symlink, Whiteout}
	for _, test := range changeTests {
		for i, w := range words {
			if w == test.word {
				f.Add(i, test.in)
			}
		}
	}
	f.Fuzz(func(t *testing.T, word int, s string) {
		if word < 0 || word >= len(words) {
			return
		}
		parse := parsers[words[word]]
		c, err := parse(s)
		if err != nil {
			return
		}
		again, err := parse(c.String())
		if d := cmp.Diff(c, again); d != "" || err != nil {
			t.Errorf("%s %q: parsing String() = %q: %v (-want +got):\n%s", c.Word, s, c, err, d)
		}
		if strings.Contains(c.Place, "/../") || !strings.HasPrefix(c.Place, "/") {
			t.Errorf("%s %q: Place = %q; want an absolute path without ..", c.Word, s, c.Place)
		}
	})
}
