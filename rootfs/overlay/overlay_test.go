package overlay

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/staging"
)

var update = flag.Bool("update", false, "write the results into testdata")

// TestCases runs testdata/cases/*.txtar, one case a file.
// The comment describes the case. Its lines "key: value" are the steps, in order:
// add, mkdir, symlink, whiteout, layer (begins the next one), owner, mode, allow (store changes).
// The file "below" is the image. Files "src/…" and the links in "links" are made on this machine, where changes
// say $SRC. The result is "layers", "flat" and "notes", or "error".
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { testCase(t, name) })
	}
}

func testCase(t *testing.T, name string) {
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	src := t.TempDir()
	want, below := make(map[string]string), ""
	for _, f := range archive.Files {
		want[f.Name] = string(f.Data)
		if path, ok := strings.CutPrefix(f.Name, "src/"); ok {
			writeFile(t, filepath.Join(src, path), string(f.Data))
		}
		if f.Name == "below" {
			below = string(f.Data)
		}
	}
	for line := range strings.Lines(want["links"]) {
		path, target, _ := strings.Cut(strings.TrimSpace(line), " -> ")
		if err := os.Symlink(target, filepath.Join(src, path)); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{Layers: [][]Change{nil}, Stdin: strings.NewReader("from stdin\n"), SpoolDir: t.TempDir()}
	for line := range strings.Lines(string(archive.Comment)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		value = strings.ReplaceAll(value, "$SRC", src)
		last := &o.Layers[len(o.Layers)-1]
		switch key {
		case "add", "mkdir", "symlink", "whiteout":
			c, err := parsers[Word(key)](value)
			if err != nil {
				t.Fatal(err)
			}
			*last = append(*last, c)
		case "layer":
			o.Layers = append(o.Layers, nil)
		case "owner", "mode":
			r, err := parseRuleWord(key, value)
			if err != nil {
				t.Fatal(err)
			}
			o.Rules = append(o.Rules, r)
		case "allow":
			o.AllowStoreChanges = true
		}
	}

	got := make(map[string]string)
	for name, data := range want {
		if name == "below" || name == "links" || strings.HasPrefix(name, "src/") {
			got[name] = data
		}
	}
	parts := parseParts(t, below)
	result, err := Apply(t.Context(), parts, rootfs.NewView(storeParts(parts), nil), o)
	if err != nil {
		got["error"] = strings.ReplaceAll(err.Error(), src, "$SRC") + "\n"
	} else {
		defer result.Close()
		got["layers"] = formatLayers(t, result.Layers)
		got["flat"] = format(t, rootfs.Join(result.Flatten()))
		got["notes"] = strings.ReplaceAll(strings.Join(append(result.Notes, ""), "\n"), src, "$SRC")
		if d := cmp.Diff(got["flat"], format(t, treeOf(unpackLayers(t, result)))); d != "" {
			t.Errorf("flattened image differs from the unpacked layers (-flat +layers):\n%s", d)
		}
	}
	if *update {
		for _, name := range []string{"layers", "flat", "notes", "error"} {
			archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == name })
			if data, ok := got[name]; ok {
				archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(data)})
			}
		}
		if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("result (-want +got):\n%s", d)
	}
}

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	mode := fs.FileMode(0o600)
	if strings.HasPrefix(content, "#!") {
		mode = 0o700
	}
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// parseParts parses lines in the format of format into parts.
func parseParts(t *testing.T, text string) []rootfs.Part {
	t.Helper()
	byRoot := make(map[string][]rootfs.Entry)
	for line := range strings.Lines(text) {
		e := parseEntry(t, strings.TrimSuffix(line, "\n"))
		root := ""
		if elems := strings.SplitN(e.Path, "/", 4); len(elems) > 2 && strings.Join(elems[:2], "/") == "nix/store" {
			root = strings.Join(elems[:3], "/")
		}
		byRoot[root] = append(byRoot[root], e)
	}
	var parts []rootfs.Part
	for root, entries := range byRoot {
		p := rootfs.Part{Name: nameOf(root), Root: root, Key: "sha256:" + fmt.Sprintf("%064x", len(root)), Tree: treeOf(entries)}
		if root == "" {
			p.Name = "base"
		}
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b rootfs.Part) int { return strings.Compare(a.Root, b.Root) })
	return parts
}

func storeParts(parts []rootfs.Part) []rootfs.Part {
	return slices.DeleteFunc(slices.Clone(parts), func(p rootfs.Part) bool { return p.Root == "" })
}

func treeOf(entries []rootfs.Entry) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func parseEntry(t *testing.T, line string) rootfs.Entry {
	t.Helper()
	fields := strings.SplitN(line, " ", 5)
	if len(fields) < 4 {
		t.Fatalf("line %q: too short", line)
	}
	mode, err := parseMode(fields[1])
	if err != nil {
		t.Fatalf("line %q: %v", line, err)
	}
	e := rootfs.Entry{Path: fields[3], Mode: mode}
	if _, err := fmt.Sscanf(fields[2], "%d:%d", &e.UID, &e.GID); err != nil {
		t.Fatalf("line %q: %v", line, err)
	}
	switch fields[0] {
	case "d":
		e.Mode |= fs.ModeDir
	case "l":
		e.Mode, e.Target = fs.ModeSymlink|0o777, fields[4]
	default:
		content, err := strconv.Unquote(fields[4])
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		e.Size = int64(len(content))
		e.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
	}
	return e
}

func formatEntry(t *testing.T, e rootfs.Entry) string {
	t.Helper()
	kind, rest := "d", ""
	switch {
	case e.IsLink():
		kind, rest = "l", " "+e.Target
	case e.IsRegular():
		r, err := e.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatalf("%q: %v", e.Path, err)
		}
		if int64(len(b)) != e.Size {
			t.Errorf("%q has %d bytes; want %d", e.Path, len(b), e.Size)
		}
		kind, rest = "f", " "+strconv.Quote(string(b))
	}
	return fmt.Sprintf("%s %s %d:%d %s%s\n", kind, formatMode(e.Mode), e.UID, e.GID, e.Path, rest)
}

func format(t *testing.T, tree rootfs.Tree) string {
	t.Helper()
	var b strings.Builder
	for e, err := range rootfs.Check("", tree) {
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(formatEntry(t, e))
	}
	return b.String()
}

func formatLayers(t *testing.T, layers []Layer) string {
	t.Helper()
	var b strings.Builder
	for _, l := range layers {
		fmt.Fprintf(&b, "%s: %s\n", l.Part.Name, strings.Join(l.Changes, ", "))
		for _, h := range l.Hidden {
			fmt.Fprintf(&b, "- %s\n", h)
		}
		b.WriteString(format(t, l.Part.Tree))
	}
	return b.String()
}

// unpackLayers unpacks the parts and the layers on top of them.
// It checks that no layer holds a path that it hides, and that each holds the directories of the paths that it hides.
func unpackLayers(t *testing.T, o *Overlay) []rootfs.Entry {
	t.Helper()
	all := make(map[string]rootfs.Entry)
	remove := func(path string) (some bool) {
		for p := range all {
			if rootfs.Within(path, p) {
				some = true
				delete(all, p)
			}
		}
		return some
	}
	for e, err := range rootfs.Join(o.Parts) {
		if err != nil {
			t.Fatal(err)
		}
		all[e.Path] = e
	}
	for _, l := range o.Layers {
		own := make(map[string]bool)
		for e, err := range rootfs.Check("", l.Part.Tree) {
			if err != nil {
				t.Fatal(err)
			}
			own[e.Path] = true
		}
		for _, h := range l.Hidden {
			if parent, _ := cut(h); own[h] || parent != "" && !own[parent] {
				t.Errorf("layer %s hides %q, but holds it or lacks its directory", l.Part.Name, h)
			}
			if !remove(h) {
				t.Errorf("layer %s hides %q, which does not exist below", l.Part.Name, h)
			}
		}
		for e := range l.Part.Tree {
			if had, ok := all[e.Path]; ok && !(had.IsDir() && e.IsDir()) {
				remove(e.Path)
			}
			all[e.Path] = e
		}
	}
	var entries []rootfs.Entry
	for _, e := range all {
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b rootfs.Entry) int { return rootfs.ComparePaths(a.Path, b.Path) })
	return entries
}

// TestWriteFlat checks the files of a flattened image: the host's, and those of changed and unchanged objects.
func TestWriteFlat(t *testing.T) {
	src := t.TempDir()
	writeFile(t, src+"/f", "from the host")
	below := parseParts(t, `d 0755 0:0 etc
f 0444 0:0 etc/gone "x"
f 0444 0:0 etc/kept "kept"
d 0755 0:0 nix
d 0755 0:0 nix/store
d 0555 0:0 nix/store/p
f 0444 0:0 nix/store/p/a "a"
f 0444 0:0 nix/store/p/b "b"
f 0444 0:0 nix/store/q "q"
`)
	o := Options{AllowStoreChanges: true, Layers: [][]Change{{
		{Word: Whiteout, Place: "/etc/gone"},
		{Word: Add, Source: src + "/f", Place: "/etc/added"},
		{Word: Whiteout, Place: "/nix/store/p/a"},
		{Word: Add, Source: src + "/f", Place: "/nix/store/p/c"},
	}}}
	result, err := Apply(t.Context(), below, rootfs.NewView(storeParts(below), nil), o)
	if err != nil {
		t.Fatal(err)
	}
	defer result.Close()
	dir := filepath.Join(t.TempDir(), "root")
	t.Cleanup(func() { staging.RemoveAll(dir) })
	if err := rootfs.WriteDir(t.Context(), dir, result.Flatten(), rootfs.DirOptions{}); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		got[name[len(dir):]] = string(b)
		return err
	})
	want := map[string]string{
		"/etc/added": "from the host", "/etc/kept": "kept",
		"/nix/store/p/b": "b", "/nix/store/p/c": "from the host", "/nix/store/q": "q",
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("files of the flattened image: %v (-want +got):\n%s", err, d)
	}
	for _, p := range result.Flatten() {
		if (p.Key == "") != (p.Root != "nix/store/q") {
			t.Errorf("%s: Key = %q; want a key only for the unchanged object", p.Name, p.Key)
		}
	}
}

// BenchmarkRules matches ten rules against a store of 20,000 files.
func BenchmarkRules(b *testing.B) {
	var parts []rootfs.Part
	for i := range 200 {
		root := fmt.Sprintf("nix/store/%032d-object", i)
		entries := []rootfs.Entry{rootfs.Dir(root, 0o555)}
		for j := range 99 {
			entries = append(entries, rootfs.Link(fmt.Sprintf("%s/%03d", root, j), "target"))
		}
		parts = append(parts, rootfs.Part{Name: "object", Root: root, Key: "k", Tree: treeOf(entries)})
	}
	var o Options
	o.AllowStoreChanges = true
	for i := range 10 {
		r, err := ParseOwner(fmt.Sprintf("/**/*%d=%d", i, i))
		if err != nil {
			b.Fatal(err)
		}
		o.Rules = append(o.Rules, r)
	}
	view := rootfs.NewView(parts, nil)
	for b.Loop() {
		if _, err := Apply(b.Context(), parts, view, o); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAdd lays a directory of 20,000 small files on top.
func BenchmarkAdd(b *testing.B) {
	dir := b.TempDir()
	for i := range 200 {
		sub := fmt.Sprintf("%s/%d", dir, i)
		if err := os.Mkdir(sub, 0o755); err != nil {
			b.Fatal(err)
		}
		for j := range 100 {
			if err := os.WriteFile(fmt.Sprintf("%s/%d", sub, j), []byte("small"), 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	o := Options{Layers: [][]Change{{{Word: Add, Source: dir, Place: "/srv"}}}}
	for b.Loop() {
		result, err := Apply(b.Context(), nil, rootfs.NewView(nil, nil), o)
		if err != nil {
			b.Fatal(err)
		}
		if err := result.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
