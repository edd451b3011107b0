package ocilayout

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
)

// tarLines returns a tar with an entry for each line: NAME CONTENT, NAME -> TARGET or NAME => TARGET, a hard link.
func tarLines(t testing.TB, lines ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, line := range lines {
		name, content, _ := strings.Cut(line, " ")
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			h.Typeflag, h.Linkname, content = tar.TypeSymlink, target, ""
		} else if target, ok := strings.CutPrefix(content, "=> "); ok {
			h.Typeflag, h.Linkname, content = tar.TypeLink, target, ""
		} else if strings.HasSuffix(name, "/") {
			h.Typeflag = tar.TypeDir
		}
		h.Size = int64(len(content))
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func openArchive(t testing.TB, b []byte) (*ArchiveFile, error) {
	t.Helper()
	return OpenArchiveFile(t.Context(), "a.tar", bytes.NewReader(b), int64(len(b)))
}

// archives are tars with the expected content of their file x/y.
var archives = []struct {
	name  string
	lines []string
	want  string // content; "none" or "irregular"
	links bool
	odd   string
}{
	{"plain", []string{"x/ ", "x/y yes"}, "yes", false, ""},
	{"with a dot", []string{"./ ", "./x/ ", "./x//y yes"}, "yes", false, ""},
	{"not there", []string{"x/z no"}, "none", false, ""},
	{"twice", []string{"x/y yes", "x/y no"}, "yes", false, `x/y: occurs twice`},
	{"twice, spelt otherwise", []string{"x/y yes", "./x/./y no"}, "yes", false, `./x/./y: occurs twice`},
	{"absolute", []string{"/x/y no"}, "none", false, `/x/y: is an absolute path`},
	{"leads out", []string{"x/../../x/y no"}, "none", false, `x/../../x/y: `},
	{"link", []string{"x/y -> z", "x/z yes"}, "irregular", false, ""},
	{"link to follow", []string{"x/y -> ../z", "z yes"}, "yes", true, ""},
	{"link to a link", []string{"x/y -> z", "x/z -> a", "x/a no"}, "irregular", true, ""},
	{"link to itself", []string{"x/y -> y"}, "irregular", true, ""},
	{"link out", []string{"x/y -> ../../etc/passwd"}, "irregular", true, ""},
	{"absolute link", []string{"x/y -> /z", "z no"}, "irregular", true, ""},
	{"link to nothing", []string{"x/y -> z"}, "none", true, ""},
	{"hard link", []string{"z no", "x/y => z"}, "irregular", true, ""},
}

func TestArchiveFile(t *testing.T) {
	for _, tt := range archives {
		a, err := openArchive(t, tarLines(t, tt.lines...))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got := ""
		switch f, err := a.File("x/y", tt.links); {
		case errors.Is(err, ErrIrregular):
			got = "irregular"
		case errors.Is(err, fs.ErrNotExist):
			got = "none"
		case err != nil:
			got = err.Error()
		default:
			b, err := io.ReadAll(f)
			if got = string(b); err != nil {
				got = err.Error()
			}
		}
		odd := ""
		for _, o := range a.Odd {
			odd += o.Name + ": " + o.What
		}
		if got != tt.want || !strings.HasPrefix(odd, tt.odd) || (odd == "") != (tt.odd == "") {
			t.Errorf("%s: the file is %q and %q is odd; want %q and %q", tt.name, got, odd, tt.want, tt.odd)
		}
	}
}

func TestArchiveFileDamaged(t *testing.T) {
	whole := tarLines(t, "x/y "+strings.Repeat("yes", 1000), "z no")
	for name, b := range map[string][]byte{
		"no tar":      []byte(strings.Repeat("no tar", 1000)),
		"cut header":  whole[:700],
		"cut content": whole[:2000],
		"gzip":        gzipped(t, whole),
	} {
		if a, err := openArchive(t, b); err == nil {
			t.Errorf("%s: OpenArchiveFile = %v, <nil>; want an error", name, a.files)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := OpenArchiveFile(ctx, "a.tar", bytes.NewReader(whole), int64(len(whole))); !errors.Is(err, context.Canceled) {
		t.Errorf("OpenArchiveFile = %v; want %v", err, context.Canceled)
	}
}

func FuzzArchiveFile(f *testing.F) {
	for _, tt := range archives {
		f.Add(tarLines(f, tt.lines...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := openArchive(t, b)
		if err != nil {
			return
		}
		for name, e := range a.files {
			if clean, err := archiveName(name); err != nil || clean != name || name == "" {
				t.Errorf("there is a file %q", name)
			}
			if e.odd == "" && e.link == "" && (e.at < 0 || e.size < 0 || e.at+e.size > int64(len(b))) {
				t.Errorf("%q is at %d with %d bytes of %d", name, e.at, e.size, len(b))
			}
			_, _ = a.File(name, true)
		}
		_, _ = a.Find("")
	})
}
