package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// testUniverse makes packages that all need libc6, most of them also a library, in files that name these.
func testUniverse(apps int) *universe {
	u := &universe{}
	add := func(name string, refs ...int) int {
		p := &pkg{base: newDigest([]byte(name)) + "-" + name + "-1.0", refs: refs, narSize: 9 << 10}
		elf := []byte("\x7fELF")
		for n := range 8 << 8 {
			elf = fmt.Appendf(elf, "%02x%d", n%251, n)
		}
		for _, r := range refs {
			elf = fmt.Appendf(elf, "/nix/store/%s/lib", u.packages[r].base)
		}
		p.files = []file{
			{entry: rootfs.Dir("", 0o555)},
			{entry: rootfs.Dir("/bin", 0o555)},
			{entry: rootfs.File("/bin/"+name, 0o555, int64(len(elf)), nil), content: elf},
			{entry: rootfs.File("/text", 0o444, 4, nil), content: []byte("text")},
		}
		if len(refs) > 0 {
			p.files = append(p.files, file{entry: rootfs.Link("/zlink", "/nix/store/"+u.packages[refs[0]].base+"/bin")})
		}
		u.packages = append(u.packages, p)
		return len(u.packages) - 1
	}
	libc := add("libc6")
	ssl := add("libssl3", libc)
	middle := add("libmiddle", libc)
	for i := range apps {
		refs := []int{libc, ssl}
		if i < 6 {
			refs = append(refs, middle)
		}
		u.roots = append(u.roots, add(fmt.Sprintf("app%d", i), refs...))
	}
	u.findMentions()
	return u
}

func (y year) trees(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, images := range y.weeks {
		for _, m := range images {
			for _, p := range m.parts() {
				fmt.Fprintln(&b, p.Name, p.Key, p.Refs)
			}
		}
	}
	return y.text() + b.String()
}

// TestYear checks that a year follows from the seed alone, and changes what it should.
func TestYear(t *testing.T) {
	u := testUniverse(40)
	for _, count := range []int{1, 3} {
		y := newYear(u, 52, count, 1)
		if d := cmp.Diff(y.trees(t), newYear(testUniverse(40), 52, count, 1).trees(t)); d != "" {
			t.Errorf("%d images, the same seed again (-first +second):\n%s", count, d)
		}
		if y.trees(t) == newYear(u, 52, count, 2).trees(t) {
			t.Errorf("%d images: another seed makes the same year", count)
		}
		revised := make(map[string]int)
		leaves, joined, left := 0, 0, 0
		for week, c := range y.changes {
			for _, name := range c.revised {
				revised[name]++
				if strings.HasPrefix(name, "app") {
					leaves++
				}
			}
			if n := len(c.revised); n > 5 || n == 0 && week > 0 {
				t.Errorf("%d images, week %d: %d packages change; want 1 to 5", count, week, n)
			}
			if c.joined != "" {
				joined++
			}
			if c.left != "" {
				left++
			}
		}
		if revised["libssl3"] != 1 || revised["libc6"] != 1 || revised["libmiddle"] < 8 || leaves < 40 || joined == 0 || joined+left < 5 {
			t.Errorf("%d images: libraries and leaves change %v, %d join and %d leave", count, revised, joined, left)
		}
	}
	apart := newYear(u, 1, 3, 1).weeks[0]
	if len(apart[0].roots) < 12 || len(apart[0].store)-len(apart[0].roots) > 3 {
		t.Errorf("an image has %d roots and %d objects; want a third of the roots, and the libraries", len(apart[0].roots), len(apart[0].store))
	}
}

// TestRevision checks that a revision changes a package, and the digests in all that need it, and nothing else.
func TestRevision(t *testing.T) {
	u := testUniverse(40)
	before := make(state, len(u.packages))
	old := u.digests(before)
	for i, p := range u.packages {
		if old[i] != p.digest() {
			t.Fatalf("at first %q has the digest %q; want its own", p.base, old[i])
		}
	}
	ssl := u.find("libssl3")
	after := make(state, len(u.packages))
	after[ssl] = 1
	digests := u.digests(after)
	needed := 0
	for i, p := range u.packages {
		needs := i == ssl || len(p.refs) > 1
		if changed := digests[i] != old[i]; changed != needs {
			t.Errorf("%q has another digest: %v; want %v", p.base, changed, needs)
		}
		if needs {
			needed++
		}
		first, second := files(t, u.part(before, old, i)), files(t, u.part(after, digests, i))
		replaced := strings.ReplaceAll(strings.ReplaceAll(first, old[i], digests[i]), old[ssl], digests[ssl])
		if same := replaced == second; same != (i != ssl) {
			t.Errorf("%q has the files of before with other digests: %v; want %v", p.base, same, i != ssl)
		}
		if len(first) != len(second) {
			t.Errorf("%q has %d bytes, and before %d", p.base, len(second), len(first))
		}
		if i == ssl && (strings.Contains(second, old[i]) || !strings.Contains(second, digests[i]) || !strings.Contains(second, old[0])) {
			t.Errorf("%q does not name itself and libc6 by their digests", p.base)
		}
	}
	if needed != 41 {
		t.Errorf("%d packages need libssl3; want 41", needed)
	}
	// A file never returns to an earlier state.
	seen := make(map[string]bool)
	last, steps := "", 0
	for revision := range 52 {
		content := string(u.content(u.packages[ssl], u.packages[ssl].files[2], revision, old))
		seen[content] = true
		if content != last {
			last = content
			steps++
		}
	}
	if len(seen) != steps || steps < 40 {
		t.Errorf("52 revisions change a file %d times, and it has %d different contents; want as many, and at least 40", steps, len(seen))
	}
}

// files writes the files of a part as text.
func files(t *testing.T, p rootfs.Part) string {
	t.Helper()
	var b bytes.Buffer
	for e, err := range rootfs.Check(p.Root, p.Tree) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, e.Path, e.Mode, e.Target)
		if e.IsRegular() {
			r, err := e.Open()
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(&b, r); n != e.Size || err != nil {
				t.Fatalf("read %q: %d bytes, %v; want %d, <nil>", e.Path, n, err, e.Size)
			}
		}
	}
	return b.String()
}

// TestMentions checks which digests count: known ones between a slash and a dash.
func TestMentions(t *testing.T) {
	known := newDigest([]byte("a"))
	text := []byte("/" + known + "-a /" + known + " " + known + "-a /" + newDigest([]byte("b")) + "-b //" + known + "-" + known[:9])
	got := mentionsIn(text, map[string]int{known: 7})
	want := []mention{{1, 7}, {len(text) - 10 - digestLen, 7}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(mention{})); d != "" {
		t.Errorf("mentionsIn (-want +got):\n%s", d)
	}
}

// TestImage checks the parts besides the packages.
func TestImage(t *testing.T) {
	m := newYear(testUniverse(40), 1, 1, 1).weeks[0][0]
	if len(m.top) != 2 || m.top[0].Name != history.BaseName || m.top[0].Refs[0] != m.top[1].Root {
		t.Fatalf("the image has %d parts besides packages; want base files that refer to a profile", len(m.top))
	}
	if text := files(t, m.top[1]); strings.Count(text, "/bin/app") < 2*len(m.roots) {
		t.Errorf("the profile lacks links:\n%s", text)
	}
	files(t, m.top[0])
}
