package base

import (
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

const guixProfile = "/gnu/store/fiznc08nhj31nrsb1f2aa5f9syzps0gl-profile"

func TestParseSearchPaths(t *testing.T) {
	for _, test := range []struct {
		lines   string // P is the profile as Guix writes it
		want    []searchPath
		strange []string
	}{
		{"# Source this file to define all the relevant environment variables in Bash\n\n#  GUIX_PROFILE=/path/to/profile ; \\\n", nil, nil},
		{`export PATH="P/bin:P/sbin${PATH:+:}$PATH"`, []searchPath{{"PATH", ":", []string{"/bin", "/sbin"}}}, nil},
		{`export GUIX_PYTHONPATH="P/lib/python3.9/site-packages${GUIX_PYTHONPATH:+:}$GUIX_PYTHONPATH"`,
			[]searchPath{{"GUIX_PYTHONPATH", ":", []string{"/lib/python3.9/site-packages"}}}, nil},
		{`export GIT_SSL_CAINFO="P/etc/ssl/certs/ca-certificates.crt"`, []searchPath{{"GIT_SSL_CAINFO", "", []string{"/etc/ssl/certs/ca-certificates.crt"}}}, nil},
		{`export XML_CATALOG_FILES="P/xml/a.xml P/xml/b.xml${XML_CATALOG_FILES:+ }$XML_CATALOG_FILES"`,
			[]searchPath{{"XML_CATALOG_FILES", " ", []string{"/xml/a.xml", "/xml/b.xml"}}}, nil},
		{"export A=\"P${A:+;}$A\"\nexport B=\"P/b\"\n", []searchPath{{"A", ";", []string{""}}, {"B", "", []string{"/b"}}}, nil},

		{`export A="/etc/x"`, nil, []string{"A"}},
		{`export A=P/x`, nil, []string{"A"}},
		{`export A="P/x`, nil, []string{"A"}},
		{`export A="P/x:P/y"`, nil, []string{"A"}},
		{`export A="P/x:/y${A:+:}$A"`, nil, []string{"A"}},
		{`export A="P/x:P/y;P/z${A:+:}$A"`, nil, []string{"A"}},
		{`export A="P/x${B:+:}$B"`, nil, []string{"A"}},
		{`export A="P/x${A:+:}$A:/y"`, nil, []string{"A"}},
		{`export A="P/x${A:+}$A"`, nil, []string{"A"}},
		{"export A=\"P/`id`\"", nil, []string{"A"}},
		{`export A="P/$(id)"`, nil, []string{"A"}},
		{`export A="P/\n"`, nil, []string{"A"}},
		{`export A="P/../x"`, nil, []string{"A"}},
		{"export A=\"P/\xff\"", nil, []string{"A"}},
		{`export A="Px"`, nil, []string{"A"}},
		{`export A="${GUIX_PROFILE:-/gnu/store/other}/x"`, nil, []string{"A"}},
		{`export 1="P/x"`, nil, nil},
		{`export A B="P/x"`, nil, nil},
		{`A="P/x"`, nil, nil},
	} {
		got, strange := parseSearchPaths(strings.ReplaceAll(test.lines, "P/", "${GUIX_PROFILE:-"+guixProfile+"}/"), guixProfile)
		if strings.Contains(test.lines, `"P$`) || strings.Contains(test.lines, `"Px`) {
			got, strange = parseSearchPaths(strings.ReplaceAll(test.lines, `"P`, `"${GUIX_PROFILE:-`+guixProfile+"}"), guixProfile)
		}
		for i := range test.want {
			for j := range test.want[i].paths {
				test.want[i].paths[j] = guixProfile + test.want[i].paths[j]
			}
		}
		if d := cmp.Diff(test.want, got, cmp.AllowUnexported(searchPath{})); d != "" || !slices.Equal(strange, test.strange) {
			t.Errorf("parseSearchPaths(%s): strange %q; want %q (-want +got):\n%s", test.lines, strange, test.strange, d)
		}
	}
}

// TestGuixScript checks a file that build-profile of Guix 1.3 (guix/build/profiles.scm) has written.
func TestGuixScript(t *testing.T) {
	b, err := os.ReadFile("testdata/guix-profile")
	if err != nil {
		t.Fatal(err)
	}
	want := []searchPath{
		{"PATH", ":", []string{"/tmp/out/bin", "/tmp/out/sbin"}},
		{"XML", " ", []string{"/tmp/out/etc/ssl/certs/ca-certificates.crt"}},
		{"GIT_SSL_CAINFO", "", []string{"/tmp/out/etc/ssl/certs/ca-certificates.crt"}},
		{"GUIX_PYTHONPATH", ":", []string{"/tmp/out/lib/python3.9/site-packages"}},
	}
	got, strange := parseSearchPaths(string(b), "/tmp/out")
	if d := cmp.Diff(want, got, cmp.AllowUnexported(searchPath{})); d != "" || strange != nil {
		t.Errorf("strange %q (-want +got):\n%s", strange, d)
	}
}

// FuzzParseSearchPaths checks that all paths are in the profile, and that no value needs quoting in a shell or another line in a config.
func FuzzParseSearchPaths(f *testing.F) {
	f.Add("export PATH=\"${GUIX_PROFILE:-/p}/bin:${GUIX_PROFILE:-/p}/sbin${PATH:+:}$PATH\"\nexport A=\"${GUIX_PROFILE:-/p}\"\n")
	f.Fuzz(func(t *testing.T, content string) {
		paths, _ := parseSearchPaths(content, "/p")
		for _, p := range paths {
			value := strings.Join(p.paths, p.separator)
			if !isVariable(p.name) || !utf8.ValidString(value) || strings.ContainsAny(value, "$`\"\\\n\x00") || len(p.paths) == 0 || p.separator == "" && len(p.paths) > 1 {
				t.Errorf("%q=%q", p.name, value)
			}
			for _, one := range p.paths {
				if one != "/p" && !strings.HasPrefix(one, "/p/") {
					t.Errorf("%q is not in the profile", one)
				}
			}
		}
	})
}
