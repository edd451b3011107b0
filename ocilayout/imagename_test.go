package ocilayout

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestParseTag(t *testing.T) {
	for _, test := range []struct {
		in string
		ok bool
	}{
		{"latest", true},
		{"v1.0-rc_2", true},
		{"a--b", true},
		{"_x", false},
		{"a__b", false},
		{"a..b", false},
		{"1.0-", false},
		{"A", true},
		{strings.Repeat("a", 128), true},
		{"", false},
		{strings.Repeat("a", 129), false},
		{"-a", false},
		{".a", false},
		{"a:b", false},
		{"a/b", false},
		{"a b", false},
		{"a\n", false},
		{"ä", false},
		{"a@sha256", false},
		{"1+2", false},
	} {
		got, err := ParseTag(test.in)
		if test.ok && (got != test.in || err != nil) || !test.ok && (got != "" || err == nil) {
			t.Errorf("ParseTag(%q) = %q, %v; want success %v", test.in, got, err, test.ok)
		}
	}
}

var references = []struct {
	in   string
	want Name
}{
	{"hello", Name{"latest", "docker.io/library/hello:latest"}},
	{"hello:v1", Name{"v1", "docker.io/library/hello:v1"}},
	{"team/hello:v1", Name{"v1", "docker.io/team/hello:v1"}},
	{"localhost/hello", Name{"latest", "localhost/hello:latest"}},
	{"registry.example.com:5000/team/hello:v1", Name{"v1", "registry.example.com:5000/team/hello:v1"}},
	{"index.docker.io/library/hello:v1", Name{"v1", "docker.io/library/hello:v1"}},
	{"hello:feature__x", Name{"feature__x", "docker.io/library/hello:feature__x"}},
	{"", Name{}},
	{"Hello", Name{}},
	{"Team/hello:v1", Name{}},
	{"Registry.example.com/hello:v1", Name{"v1", "Registry.example.com/hello:v1"}},
	{"hello:", Name{}},
	{":v1", Name{}},
	{"hello:v1:v2", Name{}},
	{"hello@sha256:" + strings.Repeat("0", 64), Name{}},
	{"hello:v1@sha256:" + strings.Repeat("0", 64), Name{}},
	{strings.Repeat("0", 64), Name{}},
	{"a b", Name{}},
	{"../hello", Name{}},
	{"hello\n", Name{}},
}

func TestParseReference(t *testing.T) {
	for _, test := range references {
		got, err := ParseReference(test.in)
		if got != test.want || (err == nil) != (test.want != Name{}) {
			t.Errorf("ParseReference(%q) = %v, %v; want %v", test.in, got, err, test.want)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, test := range references {
		f.Add(test.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseReference(s)
		if err != nil {
			return
		}
		if again, err := ParseReference(n.Full); err != nil || again != n {
			t.Errorf("ParseReference(%q) = %v, %v; want that of %q: %v", n.Full, again, err, s, n)
		}
		if _, err := describe(ispec.Descriptor{}, []Name{n}); err != nil || !strings.HasSuffix(n.Full, ":"+n.Tag) {
			t.Errorf("ParseReference(%q) = %v: its tag is not a tag: %v", s, n, err)
		}
	})
}

// TestDescribe checks that each name has one descriptor, and that reference names are unique.
func TestDescribe(t *testing.T) {
	const R, C = ispec.AnnotationRefName, AnnotationFullName
	image := ispec.Descriptor{
		MediaType: ispec.MediaTypeImageManifest, Digest: "sha256:1", Size: 2,
		Platform: &ispec.Platform{}, Annotations: map[string]string{"x": "y"},
	}
	for _, test := range []struct {
		names []Name
		want  []map[string]string
	}{
		{[]Name{{"v1", ""}}, []map[string]string{{R: "v1"}}},
		{[]Name{{"v1", "a/b:v1"}}, []map[string]string{{R: "v1", C: "a/b:v1"}}},
		{[]Name{{"v1", ""}, {"v2", "a/b:v2"}}, []map[string]string{{R: "v1"}, {R: "v2", C: "a/b:v2"}}},
		{[]Name{{"v1", ""}, {"v1", ""}}, []map[string]string{{R: "v1"}}},
		{[]Name{{"v1", ""}, {"v1", "a/b:v1"}}, []map[string]string{{R: "v1", C: "a/b:v1"}}},
		{[]Name{{"v1", "a/b:v1"}, {"v1", ""}}, []map[string]string{{R: "v1", C: "a/b:v1"}}},
		{[]Name{{"v1", "a/b:v1"}, {"v1", "a/b:v1"}}, []map[string]string{{R: "v1", C: "a/b:v1"}}},
		{[]Name{{"v1", "a/b:v1"}, {"v1", "c/d:v1"}, {"v1", "c/d:v1"}}, []map[string]string{
			{R: "v1", C: "a/b:v1"}, {R: "c/d:v1", C: "c/d:v1"},
		}},
		{nil, nil},
		{[]Name{{"", "a/b:v1"}}, nil},
		{[]Name{{"a b", ""}}, nil},
	} {
		got, err := describe(image, test.names)
		if (err == nil) != (test.want != nil) {
			t.Errorf("describe(%v): %v; want success %v", test.names, err, test.want != nil)
		}
		var annotations []map[string]string
		for _, d := range got {
			annotations = append(annotations, d.Annotations)
			if d.Digest != image.Digest || d.Size != image.Size || d.MediaType != image.MediaType || d.Platform != nil {
				t.Errorf("describe(%v): %+v", test.names, d)
			}
		}
		if d := cmp.Diff(test.want, annotations); d != "" {
			t.Errorf("describe(%v) (-want +got):\n%s", test.names, d)
		}
	}
	if len(image.Annotations) != 1 || image.Platform == nil {
		t.Errorf("describe changes what it is given: %+v", image)
	}
}
