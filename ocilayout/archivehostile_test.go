package ocilayout

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

// TestHostileArchives checks which files a hostile archive of an image has.
func TestHostileArchives(t *testing.T) {
	rootfstest.CheckHostileTars(t, "d", map[string]string{
		"file through a link that leads up":  "d/l unreadable, d/l/passwd=1",
		"file through an absolute link":      "d/l unreadable, d/l/passwd=1",
		"file through two links":             "d/a unreadable, d/b unreadable, d/b/passwd=1",
		"directory through a link":           "d/l unreadable",
		"link through a link":                "d/l unreadable, d/l/passwd unreadable",
		"file through a link to itself":      "d/l unreadable, d/l/f=1",
		"directory that becomes a link":      "d/d unreadable, d/d/f=1, d/d/passwd=2",
		"hard link out":                      "d/h unreadable",
		"hard link to an absolute name":      "d/h unreadable",
		"hard link through a link":           "d/f=1, d/h unreadable, d/l unreadable",
		"file through a hard link to a link": "d/h unreadable, d/h/passwd=1, d/l unreadable",
		"hard link to itself":                "d/h unreadable",
		"name that leads out":                `d/f=1, ../../../../../../../../x name "..": not allowed`,
		"file twice":                         "d/f=1, ./d//f occurs twice",
		"device":                             "d/d unreadable",
		"PAX size over the header's":         "d/f=1024, d/g=1",
		"PAX size below the header's":        "d/f=0, d/g=1, d/inner=4",
		"PAX size twice":                     "d/f=1024, d/g=1",
		"PAX size of a link":                 "d/g=1, d/l unreadable",
		"PAX size of 2^62":                   "error: unexpected EOF",
		"PAX size of 2^63":                   "error: invalid tar header",
		"negative PAX size":                  "error: invalid tar header",
		"PAX name that leads out":            `d/../../../../../../../../f name "..": not allowed`,
		"PAX name of one file":               "d/g=1, d/h=1",
		"size of 2^62":                       "error: unexpected EOF",
		"size of 2^63-1":                     "error: Seek: invalid offset",
		"size of 2^63":                       "error: invalid tar header",
		"negative size":                      "error: invalid tar header",
		"old sparse file":                    "d/f=1, d/g unreadable",
		"sparse file":                        "d/f unreadable, d/g=1",
		"sparse map of a gigabyte":           "error: sparse map too long",
		"sparse map in the header":           "error: invalid tar header",
		"extended header of a gigabyte":      "error: header field too long",
		"global header of a gigabyte":        "error: header field too long",
		"long name of a gigabyte":            "error: header field too long",
		"long target of a gigabyte":          "error: header field too long",
	}, func(t *testing.T, b []byte) (string, error) {
		a, err := openArchive(t, b)
		if err != nil {
			return "", err
		}
		var got []string
		for _, name := range slices.Sorted(maps.Keys(a.files)) {
			f, err := a.File(name, true)
			if err != nil {
				got = append(got, name+" unreadable")
				continue
			}
			got = append(got, fmt.Sprintf("%s=%d", name, f.Size()))
		}
		for _, o := range a.Odd {
			got = append(got, o.Name+" "+o.What)
		}
		return strings.Join(got, ", "), nil
	})
}

// TestArchiveIndexTwice checks that an archive with two indexes has no image for us:
// programs that unpack it see the last one.
func TestArchiveIndexTwice(t *testing.T) {
	index := `{"schemaVersion":2,"manifests":[]}`
	for name, lines := range map[string][]string{
		"twice":             {"index.json " + index, "index.json " + index},
		"spelt differently": {"index.json " + index, "./index.json " + index},
	} {
		a, err := openArchive(t, tarLines(t, lines...))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Find(""); err == nil || !strings.Contains(err.Error(), `"index.json" occurs twice`) {
			t.Errorf("%s: Find = %v; want an error that names it", name, err)
		}
	}
}
