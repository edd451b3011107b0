package report

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/sample.json")

// sample returns the report of a small image that has everything that the page can show:
//
//	env -> git -> openssl -> libc
//	env -> curl -> openssl, libc
func sample() *Report {
	object := func(hash, name, version string, size, closure int64, before, dominator int, refs ...int) Object {
		full := name
		if version != "" {
			full += "-" + version
		}
		return Object{strings.Repeat(hash, 32) + "-" + full, full, name, version, size, closure, refs, before, dominator, ""}
	}
	return &Report{
		Title: "env",
		Image: Image{Platforms: []string{"linux/amd64"}, Unpacked: 76 << 20, Layers: 3, Paths: 5, Profiles: []string{"/nix/store/f-env"}, Source: "hello.export",
			Signers: []Signer{{"cache.example.com-1", "3 of 5 store paths", false}}},
		Roots: []int{4},
		Objects: []Object{
			object("a", "libc", "2.39", 30<<20, 30<<20, 2, 4),
			object("b", "openssl", "3.1", 5<<20, 35<<20, 2, 4, 0),
			object("c", "curl", "8.1", 1<<20, 36<<20, 4, 4, 0, 1),
			object("d", "git", "2.45", 40<<20, 75<<20, 4, 4, 1),
			object("f", "env", "", 3<<10, 76<<20+3<<10, None, None, 2, 3),
		},
		Layers: []Layer{
			{Title: "layer 1", State: StateKept, Blob: 12 << 20, Parts: []Part{{Object: 0}, {Object: 2}}, Gone: []string{strings.Repeat("9", 32) + "-zlib-1.2"}},
			{Title: "layer 2", State: StateNew, Parts: []Part{{Object: 3}, {Object: 1}, {Object: 4}}},
			{Title: "layer 3", State: StateNew, Parts: []Part{{None, "files beside the store", 900}}, Hides: []string{"nix/store/" + strings.Repeat("9", 32) + "-zlib-1.2"}},
		},
		Checked: true,
		Findings: []Finding{
			{"error", "/nix/store/" + strings.Repeat("d", 32) + "-git-2.45/bin/git", "needs libz.so.1, which is nowhere"},
			{"warning", "/etc/mtab", "leads nowhere"},
		},
		Previous: &Previous{
			Image: Image{Name: "hello:v1", Digest: "sha256:0123", Blobs: 20 << 20, Layers: 2, Paths: 4},
			Objects: []Object{
				object("a", "libc", "2.39", 30<<20, 0, None, None),
				object("8", "openssl", "3.0", 4<<20, 0, None, None),
				object("9", "zlib", "1.2", 1<<20, 0, None, None),
				object("7", "curl", "8.1", 1<<20, 0, None, None),
			},
			Changes: []Change{
				{"curl", nil, nil, 1<<20 - 9<<10, 1 << 20},
				{"env", nil, []string{""}, 0, 3 << 10},
				{"git", nil, []string{"2.45"}, 0, 40 << 20},
				{"openssl", []string{"3.0"}, []string{"3.1"}, 4 << 20, 5 << 20},
				{"zlib", []string{"1.2"}, nil, 1 << 20, 0},
			},
			Layers: []PreviousLayer{
				{"layer 1", 12 << 20, []string{strings.Repeat("9", 32) + "-zlib-1.2", strings.Repeat("a", 32) + "-libc-2.39"}, nil, 0},
				{"layer 2", 3 << 20, []string{"files beside the store", strings.Repeat("8", 32) + "-openssl-3.0"}, nil, None},
			},
			Fetch: Fetch{Had: 12 << 20, Unbuilt: 2, Unpacked: 45 << 20},
		},
	}
}

func write(t *testing.T, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// dataOf returns the JSON in a page.
func dataOf(t *testing.T, page string) string {
	t.Helper()
	_, rest, _ := strings.Cut(page, `<script type="application/json" id="data">`)
	data, _, ok := strings.Cut(rest, "</script>")
	if !ok {
		t.Fatal("the page has no data")
	}
	return data
}

// rowsOf returns the JSON in a page, with its columns as WriteJSON writes them.
func rowsOf(t *testing.T, page string) string {
	t.Helper()
	var in columns
	if err := json.Unmarshal([]byte(dataOf(t, page)), &in); err != nil {
		t.Fatal(err)
	}
	c := in.Objects
	references, err := base64.StdEncoding.DecodeString(c.References)
	if err != nil {
		t.Fatal(err)
	}
	number := func() int {
		n, size := binary.Uvarint(references)
		if size <= 0 {
			t.Fatal("the references end early")
		}
		references = references[size:]
		return int(n)
	}
	out := data{Roots: in.Roots, Objects: []dataObject{}, Layers: in.Layers}
	for i, path := range c.Path {
		name, ok := c.Names[i]
		if !ok {
			name = path[digestLength:]
		}
		o := dataObject{path, name, c.Size[i], c.Closure[i], c.Exclusive[i], []int{}, c.Before[i], c.Dominator[i], c.Layer[i], slices.Contains(c.New, i)}
		at := 0
		for range number() {
			at += number()
			o.References = append(o.References, at)
		}
		out.Objects = append(out.Objects, o)
	}
	if len(references) > 0 {
		t.Errorf("%d bytes follow the references", len(references))
	}
	var b bytes.Buffer
	if err := writeJSON(&b, out); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// dataOfCharts returns the part of WriteJSON that the charts are drawn from.
func dataOfCharts(t *testing.T, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := writeJSON(&b, r.data()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestWrite checks the data of the page against testdata/sample.json, and the text of the tables.
func TestWrite(t *testing.T) {
	page := write(t, sample())
	if again := write(t, sample()); again != page {
		t.Error("writing the same report twice gives different pages")
	}
	if got := rowsOf(t, page); got != dataOfCharts(t, sample()) {
		t.Errorf("the data in the page is %s; want that of WriteJSON", got)
	}
	var data bytes.Buffer
	if err := WriteJSON(&data, sample()); err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, data.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/sample.json"
	if *update {
		if err := os.WriteFile(golden, indented.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), indented.String()); diff != "" {
		t.Errorf("data (-%s +got):\n%s", golden, diff)
	}

	// The tables are complete without the script.
	text := strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, " ")), " ")
	for _, want := range []string{
		"76.0 MiB in the store 5 store paths 3 layers 1 error 1 warning 5 packages changed",
		"error /nix/store/dddddddddddddddddddddddddddddddd-git-2.45/bin/git needs libz.so.1, which is nowhere warning /etc/mtab leads nowhere",
		"Platform – linux/amd64", "/nix/store/f-env", "Source – hello.export", "Signatures – cache.example.com-1 (3 of 5 store paths, not verified)",
		"Digest sha256:0123 –", "Compressed 20.0 MiB –", "Layers 2 3 +1 Store paths 4 5 +1",
		"1 layer the same, 1 replaced, 1 new, 0 gone; 4 store paths new, 3 gone; 5 packages changed.",
		"A node that has the previous image keeps 12.0 MiB. It fetches 2 layers that are not built yet, of 45.0 MiB unpacked.",
		"curl rebuilt 1.0 MiB +9.0 KiB env added 3.0 KiB +3.0 KiB git added 2.45 40.0 MiB +40.0 MiB " +
			"openssl changed 3.0 3.1 5.0 MiB +1.0 MiB zlib removed 1.2 – −1.0 MiB",
		"same layer 1 12.0 MiB zlib-1.2, libc-2.39 layer 1 12.0 MiB no longer uses zlib-1.2 nothing",
		"replaced layer 2 3.0 MiB files beside the store, openssl-3.0 layer 2 not built git-2.45, openssl-3.1, env not built",
		"new – layer 3 not built files beside the store not built",
		"added – git-2.45 dddddddddddddddddddddddddddddddd-git-2.45 – 40.0 MiB +40.0 MiB updated openssl-3.0 8888",
		"removed zlib-1.2 99999999999999999999999999999999-zlib-1.2 – 1.0 MiB – −1.0 MiB",
		"rebuilt curl-8.1 77777777777777777777777777777777-curl-8.1 curl-8.1 cccc",
		"git-2.45 new dddddddddddddddddddddddddddddddd-git-2.45 40.0 MiB 75.0 MiB 40.0 MiB 1 2 libc-2.39 aaaa",
		"layer 1 kept 31.0 MiB 12.0 MiB libc-2.39 , curl-8.1 also holds, but no longer shows: zlib-1.2",
		"layer 3 new 0.9 KiB – files beside the store hides nix/store/",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// TestWithout checks what the page says if a part of the report is missing.
func TestWithout(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Report)
		want   string
	}{
		{"check", func(r *Report) { r.Checked, r.Findings = false, nil }, "The image was not checked."},
		{"findings", func(r *Report) { r.Findings = nil }, "The check found nothing."},
		{"previous", func(r *Report) { r.Previous = nil }, "There is no previous image"},
		{"changes", func(r *Report) { r.Previous.Changes = nil }, "The packages are the same."},
		{"metadata", func(r *Report) { r.Licensed = false }, "A store does not record licences."},
		{"digest", func(r *Report) { r.Previous = nil }, "This image is not made yet."},
	} {
		r := sample()
		tt.change(r)
		if page := write(t, r); !strings.Contains(page, tt.want) {
			t.Errorf("without %s: the page lacks %q", tt.name, tt.want)
		}
	}
}

// TestHostile checks that no name adds markup or an invisible character to the page.
func TestHostile(t *testing.T) {
	for _, name := range []string{
		"</script><script>alert(1)</script>", "<!--", "-->", `" onclick="alert(1)`, "' onclick='alert(1)", "&lt;", "]]>",
		"a\u2028b\u2029c", "\u202egnp.exe", "\x00\x1b[31m", "\xff\xfe", "%s%d%!", "${alert(1)}", "`", "\\u003c/script>", "<img src=x onerror=alert(1)>",
	} {
		r := sample()
		r.Title = name
		r.Image = Image{name, name, name, name, []string{name}, 1, 1, 1, 1, name, []string{name}, name, []Signer{{name, name, false}}}
		r.Previous.Image, r.Licensed, r.Previous.Fetch.ChunksUnknown = r.Image, true, name
		for i := range r.Objects {
			o := &r.Objects[i]
			o.Path, o.Name, o.Package, o.Version, o.Licence = o.Path+name, name, name, name, name
		}
		for i := range r.Layers {
			l := &r.Layers[i]
			l.Title, l.Gone, l.Hides = l.Title+name, []string{name}, []string{name}
			l.Parts = append(l.Parts, Part{None, name, 1})
		}
		r.Findings = append(r.Findings, Finding{name, name, name})
		for i := range r.Previous.Layers {
			l := &r.Previous.Layers[i]
			l.Title, l.Parts, l.Moved = name, []string{name}, []string{name}
		}
		for i := range r.Previous.Objects {
			o := &r.Previous.Objects[i]
			o.Path, o.Name, o.Package, o.Version = o.Path+name, name, name, name
		}
		for i := range r.Previous.Changes {
			r.Previous.Changes[i].Package, r.Previous.Changes[i].Added = name, []string{name}
		}
		r.Previous.Fetch.Unbuilt = 0
		page := write(t, r)

		body := strings.Replace(page, script, "", 1)
		body = strings.Replace(body, style, "", 1)
		for markup, want := range map[string]int{
			"<script": 2, "</script": 2, "<!--": 0, "<img": 0, "\u2028": 0, "\u2029": 0, "\u202e": 0, "\x00": 0, "\x1b": 0, "\xff": 0, "<!": 1,
		} {
			if got := strings.Count(body, markup); got != want {
				t.Errorf("name %q: the page has %q %d times; want %d", name, markup, got, want)
			}
		}
		for _, tag := range regexp.MustCompile(`<[a-z][^>]*>`).FindAllString(body, -1) {
			if regexp.MustCompile(`\son[a-z]+=`).MatchString(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(tag, "")) {
				t.Errorf("name %q: the page has %s", name, tag)
			}
		}
		var data data
		if err := json.Unmarshal([]byte(rowsOf(t, page)), &data); err != nil {
			t.Fatalf("name %q: %v", name, err)
		}
		if got := data.Objects[0].Name; got != printable(name) {
			t.Errorf("name %q: the data has %q; want %q", name, got, printable(name))
		}
		if got := data.Layers[2].Parts[1].Title; got != printable(name) {
			t.Errorf("part %q: the data has %q; want %q", name, got, printable(name))
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "curl-8.1": "curl-8.1", "é <b>": "é <b>", "a\nb": `"a\nb"`, "\u202ea": `"\u202ea"`, "\xff": `"\xff"`,
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q; want %q", in, got, want)
		}
	}
}

// TestRefused checks that inconsistent reports are refused.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Report)
		want   string
	}{
		{"root", func(r *Report) { r.Roots[0] = 5 }, "there are 5 objects"},
		{"no root", func(r *Report) { r.Roots[0] = None }, "there are 5 objects"},
		{"reference", func(r *Report) { r.Objects[1].References[0] = 7 }, "7 is not another object"},
		{"no reference", func(r *Report) { r.Objects[1].References[0] = None }, "refers to nothing"},
		{"predecessor", func(r *Report) { r.Objects[1].Predecessor = -2 }, "-2 is not another object"},
		{"itself", func(r *Report) { r.Objects[1].Dominator = 1 }, "1 is not another object"},
		{"circle", func(r *Report) { r.Objects[2].Predecessor, r.Objects[1].Predecessor = 1, 2 }, "runs in a circle"},
		{"circle of dominators", func(r *Report) { r.Objects[2].Dominator, r.Objects[1].Dominator = 1, 2 }, "runs in a circle"},
		{"twice", func(r *Report) { r.Objects[1].Path = r.Objects[0].Path }, "occurs twice"},
		{"part", func(r *Report) { r.Layers[0].Parts[0].Object = 9 }, "there is no object 9"},
		{"layer", func(r *Report) { r.Previous.Layers[1].Now = 3 }, "previous layer 2: 3 is not the only such layer"},
		{"layer twice", func(r *Report) { r.Previous.Layers[1].Now = 0 }, "0 is not the only such layer"},
		{"altered", func(r *Report) { r.Previous.Altered = []int{5} }, "altered object 5 is not in both images"},
		{"altered and new", func(r *Report) { r.Previous.Altered = []int{3} }, "altered object 3 is not in both images"},
	} {
		r := sample()
		tt.change(r)
		for _, write := range []func(*Report) error{
			func(r *Report) error { return Write(&bytes.Buffer{}, r) },
			func(r *Report) error { return WriteJSON(&bytes.Buffer{}, r) },
		} {
			if err := write(r); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: error %v; want one with %q", tt.name, err, tt.want)
			}
		}
	}
}

// full is a writer with room for this many bytes.
type full int

var errFull = errors.New("full")

func (f *full) Write(b []byte) (int, error) {
	if *f -= full(len(b)); *f < 0 {
		return 0, errFull
	}
	return len(b), nil
}

// TestWriteFails checks that Write returns the error of its writer, wherever it occurs.
func TestWriteFails(t *testing.T) {
	for _, room := range []full{0, 9000, 100_000} {
		if err := Write(&room, sample()); !errors.Is(err, errFull) {
			t.Errorf("Write = %v; want %v", err, errFull)
		}
	}
}

// TestChange checks the word and the versions for each kind of change.
func TestChange(t *testing.T) {
	for _, tt := range []struct {
		change              Change
		what, before, after string
	}{
		{Change{"a", nil, []string{"1"}, 0, 1}, "added", "", "1"},
		{Change{"a", []string{"1", "2"}, nil, 1, 0}, "removed", "1, 2", ""},
		{Change{"a", []string{"1"}, []string{"2"}, 1, 1}, "changed", "1", "2"},
		{Change{"a", nil, []string{"2"}, 1, 3}, "changed", "", "2"},
		{Change{"a", []string{"2"}, nil, 3, 1}, "changed", "2", ""},
		{Change{"a", []string{""}, []string{"2"}, 3, 1}, "changed", "none", "2"},
		{Change{"a", nil, nil, 1, 9000}, "rebuilt", "", ""},
		{Change{"a", nil, []string{""}, 0, 1}, "added", "", ""},
	} {
		before, after := tt.change.versions()
		if what := tt.change.what(); what != tt.what || before != tt.before || after != tt.after {
			t.Errorf("%+v: %q from %q to %q; want %q from %q to %q", tt.change, what, before, after, tt.what, tt.before, tt.after)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0.0 KiB", 1023: "1.0 KiB", 1 << 20: "1.0 MiB", 5 << 29: "2.5 GiB", 3 << 50: "3072.0 TiB", -2048: "−2.0 KiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q; want %q", n, got, want)
		}
	}
}
