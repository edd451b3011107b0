package overlay

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

// TestHostileTars checks what a tar of --add contributes that tries to lead its reader elsewhere.
// Its own links lead nothing out of the place that the user gave it.
func TestHostileTars(t *testing.T) {
	rootfstest.CheckHostileTars(t, "d", map[string]string{
		"file through a link that leads up":  `error: "d/l/passwd" in the tar: its link "/srv/d/l" leads to "/etc/passwd", out of "/srv"`,
		"file through an absolute link":      `error: "d/l/passwd" in the tar: its link "/srv/d/l" leads to "/etc/passwd", out of "/srv"`,
		"file through two links":             `error: "d/b/passwd" in the tar: its link "/srv/d/b" leads to "/etc/passwd", out of "/srv"`,
		"directory through a link":           `error: "d/l/d" in the tar: its link "/srv/d/l" leads to "/etc/d", out of "/srv"`,
		"link through a link":                `error: "d/l/passwd" in the tar: its link "/srv/d/l" leads to "/etc/passwd", out of "/srv"`,
		"file through a link to itself":      `error: "/srv/d/l/f": more than 40 links`,
		"directory that becomes a link":      `error: "d/d" in the tar: occurs twice`,
		"hard link out":                      `error: "d/h" in the tar: hard link to "../../../../../../../../etc/passwd": name "..": not allowed`,
		"hard link to an absolute name":      `error: "d/h" in the tar: hard link to "/etc/passwd": no file of that name comes before it`,
		"hard link through a link":           `error: "d/h" in the tar: hard link to "d/l/d/f": no file of that name comes before it`,
		"file through a hard link to a link": `error: "d/h/passwd" in the tar: its link "/srv/d/h" leads to "/etc/passwd", out of "/srv"`,
		"hard link to itself":                `error: "d/h" in the tar: hard link to "d/h": no file of that name comes before it`,
		"name that leads out":                `error: "../../../../../../../../x" in the tar: name "..": not allowed`,
		"file twice":                         `error: "./d//f" in the tar: occurs twice`,
		"device":                             `error: "d/d" in the tar: is neither a file, a directory nor a link: type '3'`,
		"PAX size over the header's":         "srv/d/f srv/d/g",
		"PAX size below the header's":        "srv/d/f srv/d/g srv/d/inner",
		"PAX size twice":                     "srv/d/f srv/d/g",
		"PAX size of a link":                 "srv/d/g srv/d/l->x",
		"PAX size of 2^62":                   `error: "d/f" in the tar: unexpected EOF`,
		"PAX size of 2^63":                   "error: invalid tar header",
		"negative PAX size":                  "error: invalid tar header",
		"PAX name that leads out":            `error: "d/../../../../../../../../f" in the tar: name "..": not allowed`,
		"PAX name of one file":               "srv/d/g srv/d/h",
		"size of 2^62":                       `error: "d/g" in the tar: unexpected EOF`,
		"size of 2^63-1":                     `error: "d/g" in the tar: unexpected EOF`,
		"size of 2^63":                       "error: invalid tar header",
		"negative size":                      "error: invalid tar header",
		"old sparse file":                    `error: "d/g" in the tar: is a sparse file, which is not supported: write the tar without --sparse`,
		"sparse file":                        `error: "d/f" in the tar: is a sparse file, which is not supported: write the tar without --sparse`,
		"sparse map of a gigabyte":           "error: sparse map too long",
		"sparse map in the header":           "error: invalid tar header",
		"long name of a gigabyte":            "error: header field too long",
		"long target of a gigabyte":          "error: header field too long",
		"extended header of a gigabyte":      "error: header field too long",
		"global header of a gigabyte":        "error: header field too long",
	}, func(t *testing.T, b []byte) (string, error) {
		result, err := addTo(t, "-:/srv", Options{Stdin: bytes.NewReader(b)})
		if err != nil {
			return "", err
		}
		var got []string
		for e, err := range result.Layers[0].Part.Tree {
			switch {
			case err != nil:
				return "", err
			case e.IsLink():
				got = append(got, e.Path+"->"+e.Target)
			case e.IsRegular():
				got = append(got, e.Path)
			}
		}
		return strings.Join(got, " "), nil
	})
}

// TestLinksOfTheImage checks that a tar still goes through links of the image, and through its own within its place.
func TestLinksOfTheImage(t *testing.T) {
	parts := parseParts(t, "d 0755 0:0 var\nl 0777 0:0 var/run ../run\n")
	b := rootfstest.Tar(t,
		rootfstest.TarMember{Name: "run/x", Content: "1"},
		rootfstest.TarMember{Name: "l", Type: tar.TypeSymlink, Target: "run"},
		rootfstest.TarMember{Name: "d/f", Content: "2"},
		rootfstest.TarMember{Name: "m", Type: tar.TypeSymlink, Target: "/var/d"},
		rootfstest.TarMember{Name: "m/g", Content: "3"},
	)
	o := Options{Layers: [][]Change{{{Word: Add, Source: Standard, Place: "/var"}}}, Stdin: bytes.NewReader(b), SpoolDir: t.TempDir()}
	result, err := Apply(t.Context(), parts, rootfs.NewView(nil, nil), o)
	if err != nil {
		t.Fatal(err)
	}
	defer result.Close()
	want := `d 0755 0:0 run
f 0644 0:0 run/x "1"
d 0755 0:0 var
d 0755 0:0 var/d
f 0644 0:0 var/d/f "2"
f 0644 0:0 var/d/g "3"
l 0777 0:0 var/l run
l 0777 0:0 var/m /var/d
`
	if got := format(t, result.Layers[0].Part.Tree); got != want {
		t.Errorf("the layer is\n%s\nwant\n%s", got, want)
	}
}

// TestLongPaths checks that the paths of a source are limited in sum: three deep files have as many bytes as a million others.
func TestLongPaths(t *testing.T) {
	below := strings.Repeat("/"+strings.Repeat("n", rootfs.MaxName), rootfs.MaxDepth-1)
	var members []rootfstest.TarMember
	for i := range 3 {
		members = append(members, rootfstest.TarMember{Name: "pax", PAX: []string{fmt.Sprintf("path=%d%s", i, below)}})
	}
	for n, want := range map[int]string{1: "", 3: "paths of more than 268435456 bytes"} {
		s := &source{}
		b := rootfstest.Tar(t, members[:n]...)
		err := s.readTar(t.Context(), bytes.NewReader(b), int64(len(b)))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("readTar of %d files in %d directories each: %v; want %q", n, rootfs.MaxDepth-1, err, want)
		}
	}
}
