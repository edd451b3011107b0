package guix

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// format formats an s-expression in the canonical form, with "" for an atom of no bytes: libgcrypt knows no length 0.
func (e expression) format(b *strings.Builder) {
	switch {
	case !e.isList && e.atom == "":
		b.WriteString(`""`)
	case !e.isList:
		b.WriteString(strconv.Itoa(len(e.atom)) + ":" + e.atom)
	default:
		b.WriteByte('(')
		for _, item := range e.list {
			item.format(b)
		}
		b.WriteByte(')')
	}
}

func canonical(all []expression) string {
	var b strings.Builder
	for _, e := range all {
		e.format(&b)
	}
	return b.String()
}

// TestParseExpressions compares with what libgcrypt 1.10.1 (gcry_sexp_new) reads. What only libgcrypt accepts is marked.
func TestParseExpressions(t *testing.T) {
	for _, test := range []struct{ in, want, err string }{
		{"", "", ""},
		{" \n", "", ""},
		{"()", "()", ""},
		{"(())", "(())", ""},
		{"((a) b)", "((1:a)1:b)", ""},
		{"(a b)", "(1:a1:b)", ""},
		{"  (a b) ", "(1:a1:b)", ""},
		{"(a b)(c)", "(1:a1:b)(1:c)", ""},
		{"(3:abc)", "(3:abc)", ""},
		{"(3:a)c2:))())", "(3:a)c2:))())", ""},
		{"(a b\tc\vd\fe\r\n)", "(1:a1:b1:c1:d1:e)", ""},
		{"(a -b)", "(1:a2:-b)", ""},
		{"(a b_c.d/e:f=g*h+i)", "(1:a15:b_c.d/e:f=g*h+i)", ""},
		{"(a(b)c)", "(1:a(1:b)1:c)", ""},
		{`(a"b"c)`, "(1:a1:b1:c)", ""},
		{"(a#41#b)", "(1:a1:A1:b)", ""},
		{"(#61#)", "(1:a)", ""},
		{"(a #41 42#)", "(1:a2:AB)", ""},
		{"(a #4 1#)", "(1:a1:A)", ""},
		{"(a ##)", `(1:a"")`, ""},
		{`("")`, `("")`, ""},
		{"(a |YWJj|)", "(1:a3:abc)", ""},
		{"(a |YWI|)", "(1:a2:ab)", ""},
		{"(a |YQ==|)", "(1:a1:a)", ""},
		{`(a "b\n\x41\101\"c\\\'\b\t\v\f\r")`, "(1:a13:b\nAA\"c\\'\b\t\v\f\r)", ""},
		{"(a \"b\nc\")", "(1:a3:b\nc)", ""},
		{"(a \"b\\\nc\\\r\nd\\\n\re\\\rf\")", "(1:a5:bcdef)", ""},
		{"(a \"\xc3\xa9\")", "(1:a2:\xc3\xa9)", ""},

		{"(a b", "", "byte 4: it ends inside a list"},
		{"(a b))", "", "byte 5: no parenthesis opens here"},
		{"(a b) x", "", "byte 6: no parenthesis opens here"},         // libgcrypt ignores the rest
		{"a", "", "byte 0: no parenthesis opens here"},               // libgcrypt reads nothing
		{`"a"`, "", "byte 0: no parenthesis opens here"},             // libgcrypt reads the atom
		{"(a [text]b)", "", `byte 3: no expression begins with '['`}, // libgcrypt reads two atoms
		{"(a 3#414243#)", "", "byte 3: neither a token nor a length and a colon"},
		{"(4:abc)", "", "byte 7: it ends inside a list"},
		{"(9:abc)", "", "byte 1: it ends before the 9 bytes that begin here"},
		{"(03:abc)", "", "byte 1: neither a token nor a length and a colon"},
		{"(0:)", "", "byte 1: neither a token nor a length and a colon"},
		{"(a 1b)", "", "byte 3: neither a token nor a length and a colon"},
		{"(a 99999999999:b)", "", "byte 3: neither a token nor a length and a colon"},
		{"(a +1:b)", "(1:a4:+1:b)", ""},
		{`(a "b\q")`, "", "byte 3: a backslash before something else in the quoted string that begins here"},
		{`(a "\xgg")`, "", "byte 3: a bad number behind a backslash in the quoted string that begins here"},
		{`(a "\x+1")`, "", "byte 3: a bad number behind a backslash in the quoted string that begins here"},
		{`(a "\400")`, "", "byte 3: a bad number behind a backslash in the quoted string that begins here"}, // libgcrypt reads a 0
		{`(a "\8")`, "", "byte 3: a backslash before something else in the quoted string that begins here"},
		{`(a "b)`, "", "byte 3: no end in the quoted string that begins here"},
		{`(a "b\`, "", "byte 3: no end in the quoted string that begins here"},
		{"(a #414#)", "", "byte 3: no right code between two #"},
		{"(a #4x#)", "", "byte 3: no right code between two #"},
		{"(a #41)", "", "byte 3: no # ends what begins here"},
		{"(a |Y!|)", "", "byte 3: no right code between two |"},
		{"(a |YWJ=|)", "(1:a2:ab)", ""}, // its last bits are not 0
		{"(a b,c)", "", "byte 4: no expression begins with ','"},
		{"(a ; comment\n b)", "", "byte 3: no expression begins with ';'"},
		{"(a\x00b)", "", `byte 2: no expression begins with '\x00'`},
		{"{abc}", "", "byte 0: no parenthesis opens here"},
		{"(a b&c)", "", "byte 4: no expression begins with '&'"},
		{"(a \xc3\xa9)", "", `byte 3: no expression begins with 'Ã'`},
		{strings.Repeat("(", 16) + strings.Repeat(")", 16), strings.Repeat("(", 16) + strings.Repeat(")", 16), ""},
		{strings.Repeat("(", 17) + strings.Repeat(")", 17), "", "byte 16: more than 16 lists in each other"},
		{strings.Repeat("(", 1<<20), "", "byte 16: more than 16 lists in each other"},
	} {
		all, err := parseExpressions(test.in)
		switch {
		case test.err == "" && (err != nil || canonical(all) != test.want):
			t.Errorf("parseExpressions(%.80q) = %q, %v; want %q", test.in, canonical(all), err, test.want)
		case test.err != "" && (err == nil || !strings.HasPrefix(err.Error(), "s-expression, "+test.err)):
			t.Errorf("parseExpressions(%.80q) = %q, %v; want %s", test.in, canonical(all), err, test.err)
		}
	}
}

// FuzzParseExpressions checks that what was read is read again from its canonical form.
func FuzzParseExpressions(f *testing.F) {
	addFiles(f)
	f.Add(`(a "b\n\x41\101\"c" #41 42# |YQ==| 3:a)c (""))(b)`)
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseExpressions(text)
		if err != nil {
			return
		}
		form := canonical(all)
		again, err := parseExpressions(form)
		if err != nil || canonical(again) != form {
			t.Errorf("parseExpressions(%q) = %q, %v", form, canonical(again), err)
		}
	})
}

// addFiles adds the keys and signatures of libgcrypt to a fuzzer.
func addFiles(f *testing.F) {
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		if fi, err := os.Stat(name); err == nil && fi.Mode().IsRegular() && name != "testdata/ecdsa.txt" {
			f.Add(read(f, filepath.Base(name)))
		}
	}
}

func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
