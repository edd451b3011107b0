package tarstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

// TestHostileTars checks what a tar of --from contributes that tries to lead its reader elsewhere.
func TestHostileTars(t *testing.T) {
	rootfstest.CheckHostileTars(t, objA, map[string]string{
		"file through a link that leads up":  `error: below "A/l", which is a symbolic link`,
		"file through an absolute link":      `error: below "A/l", which is a symbolic link`,
		"file through two links":             `error: below "A/b", which is a symbolic link`,
		"directory through a link":           `error: below "A/l", which is a symbolic link`,
		"link through a link":                `error: below "A/l", which is a symbolic link`,
		"file through a link to itself":      `error: below "A/l", which is a symbolic link`,
		"directory that becomes a link":      "error: occurs twice: as a directory and as a symbolic link",
		"hard link out":                      `error: hard link to "../../../../../../../../etc/passwd": contains ".."`,
		"hard link to an absolute name":      `error: is a hard link that leads to "/etc/passwd", which is not in the tar`,
		"hard link through a link":           `error: is a hard link that leads to "A/l/A/f", which is not in the tar`,
		"file through a hard link to a link": `error: below "A/h", which is a hard link`,
		"hard link to itself":                "error: is a hard link that leads to itself",
		"name that leads out":                `error: "../../../../../../../../x": contains ".."`,
		"file twice":                         "error: occurs twice: with different content",
		"device":                             "error: is a device or other special file, which a store object cannot contain",
		"PAX size over the header's":         "f=1024 g=1",
		"PAX size below the header's":        "f=0 g=1 inner=4",
		"PAX size twice":                     "f=1024 g=1",
		"PAX size of a link":                 "g=1 l->x",
		"PAX size of 2^62":                   "error: unexpected EOF",
		"PAX size of 2^63":                   "error: invalid tar header",
		"negative PAX size":                  "error: invalid tar header",
		"PAX name that leads out":            `error: "A/../../../../../../../../f": contains ".."`,
		"PAX name of one file":               "g=1 h=1",
		"size of 2^62":                       "error: unexpected EOF",
		"size of 2^63-1":                     "error: file of 9223372036854775807 bytes",
		"size of 2^63":                       "error: invalid tar header",
		"negative size":                      "error: invalid tar header",
		"old sparse file":                    "error: sparse files are not supported: write the tar without --sparse",
		"sparse file":                        "error: sparse files are not supported: write the tar without --sparse",
		"sparse map of a gigabyte":           "error: sparse map too long",
		"sparse map in the header":           "error: invalid tar header",
		"extended header of a gigabyte":      "error: header field too long",
		"global header of a gigabyte":        "error: header field too long",
		"long name of a gigabyte":            "error: header field too long",
		"long target of a gigabyte":          "error: header field too long",
	}, func(t *testing.T, b []byte) (got string, err error) {
		defer func() {
			if err != nil {
				err = errors.New(strings.ReplaceAll(err.Error(), objA, "A"))
			}
		}()
		s, err := openBytes(t, b, Options{})
		if err != nil {
			return "", err
		}
		var entries []string
		for e, err := range rootfs.Check(objA, s.Files(t.Context(), pathA)) {
			if err != nil {
				return "", err
			}
			name := strings.TrimPrefix(e.Path, objA+"/")
			switch {
			case e.IsLink():
				entries = append(entries, name+"->"+e.Target)
			case e.IsRegular():
				entries = append(entries, fmt.Sprintf("%s=%d", name, e.Size))
			}
		}
		return strings.Join(entries, " "), nil
	})
}
