package storetest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode/utf8"

	"github.com/export-profile/export-profile/rootfs"
)

// List reads all of a tree and returns one line per entry, in the format of testdata/basic.tree:
//
//	d MODE PATH
//	f MODE PATH SIZE SHA256
//	l PATH -> TARGET
//
// Odd characters are escaped like in Python's ascii().
func List(t rootfs.Tree) ([]string, error) {
	var lines []string
	for e, err := range t {
		if err != nil {
			return lines, err
		}
		mode := uint32(e.Mode.Perm())
		if e.Mode&fs.ModeSticky != 0 {
			mode |= 0o1000
		}
		switch {
		case e.IsDir():
			lines = append(lines, fmt.Sprintf("d %04o %s", mode, ascii(e.Path)))
		case e.IsLink():
			lines = append(lines, fmt.Sprintf("l %s -> %s", ascii(e.Path), ascii(e.Target)))
		default:
			h := sha256.New()
			r, err := e.Open()
			if err != nil {
				return lines, err
			}
			n, err := io.Copy(h, r)
			if err := errors.Join(err, r.Close()); err != nil {
				return lines, err
			}
			if n != e.Size {
				return lines, fmt.Errorf("%q has %d bytes, not %d", e.Path, n, e.Size)
			}
			lines = append(lines, fmt.Sprintf("f %04o %s %d %x", mode, ascii(e.Path), e.Size, h.Sum(nil)))
		}
	}
	return lines, nil
}

func ascii(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\udc%02x`, s[0])
		case r == '\\':
			b.WriteString(`\\`)
		case r == '\n':
			b.WriteString(`\n`)
		case ' ' <= r && r < 0x7f:
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		s = s[n:]
	}
	return b.String()
}
