package ocilayout

import (
	"fmt"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

// TestHostileLayers checks what the files of hostile layers are, or why they are refused.
// A link of a layer leads to another place of the image, and never out of it.
func TestHostileLayers(t *testing.T) {
	rootfstest.CheckHostileTars(t, "d", map[string]string{
		"file through a link that leads up":  "d/l->../../../../../../../../etc etc/passwd=1",
		"file through an absolute link":      "d/l->/etc etc/passwd=1",
		"file through two links":             "d/a->/ d/b->a/etc etc/passwd=1",
		"directory through a link":           "d/l->/etc",
		"link through a link":                "d/l->/etc etc/passwd->shadow",
		"file through a link to itself":      `error: "/d/l/f": more than 40 links: file does not exist`,
		"directory that becomes a link":      "d/d->/etc etc/passwd=2",
		"hard link out":                      `error: "d/h" in the layer: name "..": not allowed`,
		"hard link to an absolute name":      `error: "d/h" is a hard link to "etc/passwd", which is not there`,
		"hard link through a link":           `error: "d/h" is a hard link to "d/l/d/f", which is not there`,
		"file through a hard link to a link": "d/h->/etc d/l->/etc etc/passwd=1",
		"hard link to itself":                `error: "d/h" is a hard link to "d/h", which is not there`,
		"name that leads out":                `error: "../../../../../../../../x" in the layer: name "..": not allowed`,
		"file twice":                         "d/f=2",
		"device":                             "d/d other",
		"PAX size over the header's":         "d/f=1024 d/g=1",
		"PAX size below the header's":        "d/f=0 d/g=1 d/inner=4",
		"PAX size twice":                     "d/f=1024 d/g=1",
		"PAX size of a link":                 "d/g=1 d/l->x",
		"PAX size of 2^62":                   "error: unexpected EOF",
		"PAX size of 2^63":                   "error: invalid tar header",
		"negative PAX size":                  "error: invalid tar header",
		"PAX name that leads out":            `error: "d/../../../../../../../../f" in the layer: name "..": not allowed`,
		"PAX name of one file":               "d/g=1 d/h=1",
		"size of 2^62":                       "error: unexpected EOF",
		"size of 2^63-1":                     "error: unexpected EOF",
		"size of 2^63":                       "error: invalid tar header",
		"negative size":                      "error: invalid tar header",
		"old sparse file":                    `error: "d/g" in the layer: sparse files of more than 1125899906842624 bytes in the layer`,
		"sparse file":                        `error: "d/f" in the layer: sparse files of more than 1125899906842624 bytes in the layer`,
		"sparse map of a gigabyte":           "error: sparse map too long",
		"sparse map in the header":           "error: invalid tar header",
		"extended header of a gigabyte":      "error: header field too long",
		"global header of a gigabyte":        "error: header field too long",
		"long name of a gigabyte":            "error: header field too long",
		"long target of a gigabyte":          "error: header field too long",
	}, func(t *testing.T, b []byte) (string, error) {
		tree, err := tarImage(b).Tree(t.Context(), TreeOptions{Hash: partHash})
		if err != nil {
			return "", err
		}
		var got []string
		for e := range tree.Lower.Within("") {
			switch {
			case e.Other:
				got = append(got, e.Path+" other")
			case e.IsLink():
				got = append(got, e.Path+"->"+e.Target)
			case e.IsRegular():
				got = append(got, fmt.Sprintf("%s=%d", e.Path, e.Size))
			}
		}
		return strings.Join(got, " "), nil
	})
}
