package overlay

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/rootfs"
)

// addTo adds one source to an empty image.
func addTo(t *testing.T, value string, o Options) (*Overlay, error) {
	t.Helper()
	c, err := ParseAdd(value)
	if err != nil {
		t.Fatal(err)
	}
	o.Layers = [][]Change{{c}}
	o.SpoolDir = t.TempDir()
	result, err := Apply(t.Context(), nil, rootfs.NewView(nil, nil), o)
	if err == nil {
		t.Cleanup(func() { result.Close() })
	}
	return result, err
}

func wantAdded(t *testing.T, value string, o Options, want string) {
	t.Helper()
	result, err := addTo(t, value, o)
	if err != nil {
		t.Fatalf("add %s: %v", value, err)
	}
	if got := format(t, result.Layers[0].Part.Tree); got != want {
		t.Errorf("add %s makes\n%s\nwant\n%s", value, got, want)
	}
}

// makeTar makes a tar of headers, which carry the content of a file in Uname.
func makeTar(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == tar.TypeXGlobalHeader {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			continue
		}
		content := h.Uname
		h.Uname, h.ModTime, h.Uid = "someone", time.Unix(1e9, 0), 1000
		if h.Mode == 0 {
			h.Mode = 0o600
		}
		if h.Typeflag == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarFile(name, content string) tar.Header { return tar.Header{Name: name, Uname: content} }

const addedTar = `d 0755 0:0 srv
l 0777 0:0 srv/bin usr/bin
f 0755 0:0 srv/hard "one"
d 0755 0:0 srv/usr
d 0755 0:0 srv/usr/bin
f 0755 0:0 srv/usr/bin/setuid "one"
f 0644 0:0 srv/usr/bin/x "two"
`

// TestTar checks that Apply unpacks a tar, also one from standard input, a compressed one and one from a pipe.
// A path through a link of the tar itself ends up where the link leads.
func TestTar(t *testing.T) {
	b := makeTar(t,
		tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "by git"}},
		tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o700},
		tar.Header{Name: "/usr/bin/setuid", Uname: "one", Mode: 0o6755},
		tar.Header{Name: "bin", Typeflag: tar.TypeSymlink, Linkname: "usr/bin"},
		tarFile("bin/x", "two"),
		tar.Header{Name: "hard", Typeflag: tar.TypeLink, Linkname: "./usr/bin/setuid"},
	)
	dir := t.TempDir()
	writeFile(t, dir+"/plain.txt", string(b))
	wantAdded(t, dir+"/plain.txt:/srv", Options{}, addedTar)
	wantAdded(t, "-:/srv", Options{Stdin: bytes.NewReader(b)}, addedTar)

	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	wantAdded(t, "-:/srv", Options{Stdin: bytes.NewReader(z.Bytes())}, addedTar)

	fifo := dir + "/fifo"
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	go os.WriteFile(fifo, b, 0)
	wantAdded(t, fifo+":/srv", Options{}, addedTar)
}

// TestCompressedFile checks that a compressed file without a tar, and a tar in a directory, are added as files.
func TestCompressedFile(t *testing.T) {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	io.WriteString(w, "a page")
	w.Close()
	result, err := addTo(t, "-:/man.gz", Options{Stdin: bytes.NewReader(z.Bytes())})
	if err != nil {
		t.Fatal(err)
	}
	for e := range result.Layers[0].Part.Tree {
		if !e.IsRegular() || e.Size != int64(z.Len()) {
			t.Errorf("entry %v; want a regular file of %d bytes", e, z.Len())
		}
	}
	dir := t.TempDir()
	writeFile(t, dir+"/d/x.tar", string(makeTar(t, tarFile("f", "x"))))
	result, err = addTo(t, dir+"/d:/srv", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := format(t, result.Layers[0].Part.Tree); !strings.Contains(got, "f 0644 0:0 srv/x.tar ") {
		t.Errorf("adding a directory with a tar makes %.100s; want the tar as a file", got)
	}
}

func TestHostileTar(t *testing.T) {
	whole := makeTar(t, tarFile("f", "content"))
	for _, test := range []struct {
		name, err string
		tar       []byte
	}{
		{"dot dot", `name "..": not allowed`, makeTar(t, tarFile("../x", ""))},
		{"dot dot within", `name "..": not allowed`, makeTar(t, tarFile("a/../../x", ""))},
		{"whiteout", "would delete a file", makeTar(t, tarFile("a/.wh.x", ""))},
		{"device", "neither a file, a directory nor a link", makeTar(t, tar.Header{Name: "d", Typeflag: tar.TypeChar})},
		{"pipe", "neither a file, a directory nor a link", makeTar(t, tar.Header{Name: "d", Typeflag: tar.TypeFifo})},
		{"twice", "occurs twice", makeTar(t, tarFile("a", "x"), tarFile("./a", "x"))},
		{"file and directory", "occurs twice", makeTar(t, tarFile("a", "x"), tar.Header{Name: "a", Typeflag: tar.TypeDir})},
		{"below a file", "not a directory", makeTar(t, tarFile("a", "x"), tarFile("a/b", "x"))},
		{"hard link out", `name "..": not allowed`, makeTar(t, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "../x"})},
		{"hard link nowhere", "no file of that name comes before", makeTar(t, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "x"})},
		{"hard link to itself", "no file of that name comes before", makeTar(t, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "h"})},
		{"empty link", "empty link target", makeTar(t, tar.Header{Name: "l", Typeflag: tar.TypeSymlink})},
		{"sparse", "sparse", makeTar(t, tar.Header{Name: "f", PAXRecords: map[string]string{"XGNU": "x"}})},
		{"global path", `sets "path"`, makeTar(t, tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "x"}})},
		{"cut in content", "unexpected EOF", whole[:512+3]},
		{"cut behind content", "unexpected EOF", whole[:1024]},
		{"long name", "longer than 255", makeTar(t, tarFile(strings.Repeat("n", 256), ""))},
		{"deep", "deeper than", makeTar(t, tarFile(strings.Repeat("a/", 1100)+"x", ""))},
		{"root is a file", "archive's root", makeTar(t, tarFile("./.", ""))},
	} {
		if test.name == "sparse" {
			// archive/tar refuses to write a sparse file.
			test.tar = bytes.Replace(makeTar(t, tar.Header{Name: "f", PAXRecords: map[string]string{"ABCDEFGHIJK": "1"}}),
				[]byte("ABCDEFGHIJK=1"), []byte("GNU.sparse.a=1")[:13], 1)
		}
		t.Run(test.name, func(t *testing.T) {
			_, err := addTo(t, "-:/srv", Options{Stdin: bytes.NewReader(test.tar)})
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("Apply: %v; want an error with %q", err, test.err)
			}
		})
	}
}

// FuzzTar checks that any tar makes a tree that follows the rules and stays below its place.
func FuzzTar(f *testing.F) {
	f.Add(makeTar(f, tarFile("a/b", "x"), tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../../a"}, tarFile("l/x", "")))
	f.Add(makeTar(f, tarFile("../x", "")))
	f.Add(makeTar(f, tarFile("a", "x"), tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "a"}))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		o := Options{Layers: [][]Change{{{Word: Add, Source: Standard, Place: "/srv"}}}, Stdin: bytes.NewReader(b), SpoolDir: dir}
		result, err := Apply(t.Context(), nil, rootfs.NewView(nil, nil), o)
		if err != nil {
			return
		}
		defer result.Close()
		format(t, result.Layers[0].Part.Tree)
	})
}

// TestSourceModes checks that only the owner's executable bit of the host's modes counts.
func TestSourceModes(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]fs.FileMode{"a": 0o400, "b": 0o777 | fs.ModeSetuid, "c": 0o677, "d": 0o500} {
		writeFile(t, dir+"/d/"+name, name)
		if err := os.Chmod(dir+"/d/"+name, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir+"/d", 0o1700); err != nil {
		t.Fatal(err)
	}
	wantAdded(t, dir+"/d:/srv", Options{}, `d 0755 0:0 srv
f 0644 0:0 srv/a "a"
f 0755 0:0 srv/b "b"
f 0644 0:0 srv/c "c"
f 0755 0:0 srv/d "d"
`)
}

// TestSpecialFiles checks that Apply refuses special files, and names them.
func TestSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mkfifo(dir+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := addTo(t, dir+":/srv", Options{}); err == nil || !strings.Contains(err.Error(), `"pipe": is neither a file`) {
		t.Errorf("adding a directory with a named pipe: %v; want an error that names it", err)
	}
	os.Remove(dir + "/pipe")
	l, err := net.Listen("unix", dir+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := addTo(t, dir+":/srv", Options{}); err == nil || !strings.Contains(err.Error(), `"socket": is neither a file`) {
		t.Errorf("adding a directory with a socket: %v; want an error that names it", err)
	}
	if _, err := addTo(t, "/dev/zero:/srv", Options{}); err == nil || !strings.Contains(err.Error(), "neither a file, a directory nor a pipe") {
		t.Errorf("adding a device: %v; want an error", err)
	}
	writeFile(t, dir+"/x/.wh.y", "")
	if _, err := addTo(t, dir+"/x:/srv", Options{}); !errors.Is(err, errWhiteoutName) {
		t.Errorf("adding a directory with a whiteout: %v; want %v", err, errWhiteoutName)
	}
}

// TestChangedSource checks that a changed source fails to read: a layer must have the contents that its key promises.
func TestChangedSource(t *testing.T) {
	for what, change := range map[string]func(name string) error{
		"same size": func(name string) error { return os.WriteFile(name, []byte("other"), 0o600) },
		"longer":    func(name string) error { return os.WriteFile(name, []byte("longer than before"), 0o600) },
		"shorter":   func(name string) error { return os.WriteFile(name, []byte("s"), 0o600) },
		"gone":      os.Remove,
		"a pipe":    func(name string) error { return errors.Join(os.Remove(name), unix.Mkfifo(name, 0o600)) },
		"a link": func(name string) error {
			return errors.Join(os.Rename(name, name+"2"), os.Symlink("/dev/null", name))
		},
	} {
		for _, single := range []bool{false, true} {
			dir := t.TempDir()
			name := filepath.Join(dir, "d", "f")
			writeFile(t, name, "first")
			src := dir + "/d"
			if single {
				src = name
			}
			result, err := addTo(t, src+":/srv/x", Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := change(name); err != nil {
				t.Fatal(err)
			}
			for e := range result.Layers[0].Part.Tree {
				if !e.IsRegular() {
					continue
				}
				r, err := e.Open()
				if err == nil {
					_, err = io.ReadAll(r)
					r.Close()
				}
				if err == nil {
					t.Errorf("%s, single %v: reading succeeded; want an error", what, single)
				}
			}
		}
	}
}

// TestKeys checks that equal sources make equal keys in any directory, and different sources different ones.
func TestKeys(t *testing.T) {
	key := func(content, value string) string {
		dir := t.TempDir()
		writeFile(t, dir+"/f", content)
		result, err := addTo(t, dir+"/"+value, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return result.Layers[0].Part.Key
	}
	first := key("x", "f:/srv/f")
	if again := key("x", "f:/srv/f"); again != first || !strings.HasPrefix(first, "sha256:") {
		t.Errorf("keys of equal sources are %q and %q", first, again)
	}
	for _, other := range []string{key("y", "f:/srv/f"), key("x", "f:/srv/g"), key("x", "f:/srv/f:0600"), key("x", "f:/srv/f::1")} {
		if other == first {
			t.Errorf("a different change has the same key %q", first)
		}
	}
}

// TestRuleKeys checks that a store object gets a different key for each way that rules change it.
// Other objects keep theirs.
func TestRuleKeys(t *testing.T) {
	below := parseParts(t, `d 0555 0:0 nix/store/a
f 0444 0:0 nix/store/a/f "x"
f 0444 0:0 nix/store/bb "y"
`)
	keys := make(map[string]string)
	for _, rule := range []string{"", "/nix/store/a/f=1", "/nix/store/a/f=2", "/nix/store/a=1"} {
		o := Options{AllowStoreChanges: true}
		if rule != "" {
			r, err := ParseOwner(rule)
			if err != nil {
				t.Fatal(err)
			}
			o.Rules = append(o.Rules, r)
		}
		result, err := Apply(t.Context(), below, rootfs.NewView(below, nil), o)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := keys[result.Parts[0].Key]; ok {
			t.Errorf("rules %q and %q give the object the same key", other, rule)
		}
		keys[result.Parts[0].Key] = rule
		if result.Parts[1].Key != below[1].Key {
			t.Errorf("rule %q changes the key of an object that it does not match", rule)
		}
	}
}

// TestUnmatchedObjects checks that Apply does not read an object in which no rule can match.
func TestUnmatchedObjects(t *testing.T) {
	broken := rootfs.Part{Name: "b", Root: "nix/store/b", Key: "k", Tree: func(yield func(rootfs.Entry, error) bool) {
		yield(rootfs.Entry{}, errors.New("object was read"))
	}}
	parts := append(parseParts(t, "f 0444 0:0 nix/store/a \"x\"\n"), broken)
	r, err := ParseOwner("/nix/store/a=1")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Rules: []Rule{r}, AllowStoreChanges: true}
	if _, err := Apply(t.Context(), parts, rootfs.NewView(parts, nil), o); err != nil {
		t.Errorf("Apply with a rule for another object: %v", err)
	}
	o.Layers = [][]Change{{{Word: Mkdir, Place: "/nix/store/b/x"}}}
	if _, err := Apply(t.Context(), parts, rootfs.NewView(parts, nil), o); err == nil || !strings.Contains(err.Error(), "object was read") {
		t.Errorf("Apply with a change in an unreadable object: %v; want an error", err)
	}
}
