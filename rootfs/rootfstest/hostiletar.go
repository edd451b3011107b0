package rootfstest

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"
)

const tarBlock = 512

// TarMember is an entry of a tar that archive/tar might refuse to write.
type TarMember struct {
	Name, Target string
	Type         byte     // 0 is a regular file
	Content      string   // also of types that have none
	Size         string   // replaces the 12 bytes of the size in the header; see Base256
	PAX          []string // records in an extended header, such as "size=5"
}

// Base256 spells a size as GNU tar does if it has too many octal digits.
func Base256(n uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte{0x80, 0, 0, 0}, n))
}

// Tar writes a tar of members.
func Tar(t testing.TB, members ...TarMember) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, m := range members {
		if m.PAX != nil {
			var records strings.Builder
			for _, r := range m.PAX {
				n := len(r) + 2
				for n != len(fmt.Sprintf("%d %s\n", n, r)) {
					n = len(fmt.Sprintf("%d %s\n", n, r))
				}
				fmt.Fprintf(&records, "%d %s\n", n, r)
			}
			writeMember(t, &b, TarMember{Name: "pax", Type: tar.TypeXHeader, Content: records.String()})
		}
		writeMember(t, &b, m)
	}
	b.Write(make([]byte, 2*tarBlock))
	return b.Bytes()
}

func writeMember(t testing.TB, out *bytes.Buffer, m TarMember) {
	t.Helper()
	var b bytes.Buffer
	h := &tar.Header{Name: m.Name, Linkname: m.Target, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(m.Content))}
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, m.Content); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	header := b.Bytes()[:tarBlock]
	if m.Type != 0 {
		header[156] = m.Type
	}
	copy(header[124:136], m.Size)
	if m.Type == tar.TypeGNUSparse { // a file that is one hole
		copy(header[257:], "ustar  \x00")
		copy(header[386:], "00000000000\x0000000000000\x00")
		copy(header[483:], Base256(1<<62))
	}
	copy(header[148:156], "        ")
	sum := 0
	for _, c := range header {
		sum += int(c)
	}
	copy(header[148:156], fmt.Sprintf("%06o\x00 ", sum))
	out.Write(b.Bytes())
}

// HostileTar is a tar that tries to lead its reader elsewhere, or to take its time or memory.
type HostileTar struct {
	Name string
	Tar  []byte
}

// HostileTars returns such tars. Their entries lie in dir, as far as their names are honest.
func HostileTars(t testing.TB, dir string) []HostileTar {
	t.Helper()
	file := func(name, content string) TarMember { return TarMember{Name: dir + "/" + name, Content: content} }
	link := func(name, target string) TarMember {
		return TarMember{Name: dir + "/" + name, Type: tar.TypeSymlink, Target: target}
	}
	hard := func(name, target string) TarMember {
		return TarMember{Name: dir + "/" + name, Type: tar.TypeLink, Target: target}
	}
	sized := func(m TarMember, size string) TarMember { m.Size = size; return m }
	pax := func(m TarMember, records ...string) TarMember { m.PAX = records; return m }
	typed := func(flag byte, m TarMember) TarMember { m.Type = flag; return m }
	const up = "../../../../../../../.."
	long := strings.Repeat("0\n", 1<<20)
	inner := string(Tar(t, file("inner", "evil"))[:2*tarBlock])
	sparse1 := []string{"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=4611686018427387904"}

	all := []HostileTar{
		{"file through a link that leads up", Tar(t, link("l", up+"/etc"), file("l/passwd", "1"))},
		{"file through an absolute link", Tar(t, link("l", "/etc"), file("l/passwd", "1"))},
		{"file through two links", Tar(t, link("a", "/"), link("b", "a/etc"), file("b/passwd", "1"))},
		{"directory through a link", Tar(t, link("l", "/etc"), TarMember{Name: dir + "/l/d", Type: tar.TypeDir})},
		{"link through a link", Tar(t, link("l", "/etc"), link("l/passwd", "shadow"))},
		{"file through a link to itself", Tar(t, link("l", "l"), file("l/f", "1"))},
		{"directory that becomes a link", Tar(t, file("d/f", "1"), link("d", "/etc"), file("d/passwd", "12"))},
		{"hard link out", Tar(t, hard("h", up+"/etc/passwd"))},
		{"hard link to an absolute name", Tar(t, hard("h", "/etc/passwd"))},
		{"hard link through a link", Tar(t, link("l", "/"), file("f", "1"), hard("h", dir+"/l/"+dir+"/f"))},
		{"file through a hard link to a link", Tar(t, link("l", "/etc"), hard("h", dir+"/l"), file("h/passwd", "1"))},
		{"hard link to itself", Tar(t, hard("h", dir+"/h"))},
		{"name that leads out", Tar(t, file("f", "1"), TarMember{Name: up + "/x", Content: "1"})},
		{"file twice", Tar(t, file("f", "1"), TarMember{Name: "./" + dir + "//f", Content: "12"})},
		{"device", Tar(t, typed(tar.TypeChar, file("d", "")))},

		// A reader that goes by the header's size finds an entry in the content, as in CVE-2025-62518.
		{"PAX size over the header's", Tar(t, pax(sized(file("f", inner), "00000000000\x00"), "size=1024"), file("g", "1"))},
		{"PAX size below the header's", Tar(t, pax(file("f", inner), "size=0"), file("g", "1"))},
		{"PAX size twice", Tar(t, pax(file("f", inner), "size=0", "size=1024"), file("g", "1"))},
		{"PAX size of a link", Tar(t, pax(link("l", "x"), "size=1024"), file("g", "1"))},
		{"PAX size of 2^62", Tar(t, pax(file("f", "1"), "size=4611686018427387904"))},
		{"PAX size of 2^63", Tar(t, pax(file("f", "1"), "size=9223372036854775808"))},
		{"negative PAX size", Tar(t, pax(file("f", "1"), "size=-1"))},
		{"PAX name that leads out", Tar(t, pax(file("f", "1"), "path="+dir+"/"+up+"/f"))},
		{"PAX name of one file", Tar(t, pax(file("f", "1"), "path="+dir+"/g"), file("h", "1"))},
		{"size of 2^62", Tar(t, file("f", "1"), sized(file("g", "1"), Base256(1<<62)))},
		{"size of 2^63-1", Tar(t, file("f", "1"), sized(file("g", "1"), Base256(1<<63-1)))},
		{"size of 2^63", Tar(t, file("f", "1"), sized(file("g", "1"), Base256(1<<63)))},
		{"negative size", Tar(t, file("f", "1"), sized(file("g", "1"), strings.Repeat("\xff", 12)))},

		{"old sparse file", Tar(t, file("f", "1"), typed(tar.TypeGNUSparse, file("g", "")))},
		{"sparse file", Tar(t, pax(file("f", "0\n"+strings.Repeat("\x00", 510)), sparse1...), file("g", "1"))},
		{"sparse map of a gigabyte", Tar(t, file("f", "1"), pax(sized(file("g", "1000000000\n"+long), Base256(1<<30)), sparse1...))},
		{"sparse map in the header", Tar(t, file("f", "1"), pax(file("g", ""), "GNU.sparse.numblocks=1000000000", "GNU.sparse.map=0,0", "GNU.sparse.size=5"))},
	}
	for name, flag := range map[string]byte{
		"extended header of a gigabyte": tar.TypeXHeader, "global header of a gigabyte": tar.TypeXGlobalHeader,
		"long name of a gigabyte": tar.TypeGNULongName, "long target of a gigabyte": tar.TypeGNULongLink,
	} {
		all = append(all, HostileTar{name, Tar(t, file("f", "1"), typed(flag, sized(file("x", long), Base256(1<<30))))})
	}
	return all
}

// CheckHostileTars reads each of HostileTars. Want has the result of read by the name of the tar:
// what read returns, or "error: " and a part of its error.
func CheckHostileTars(t *testing.T, dir string, want map[string]string, read func(*testing.T, []byte) (string, error)) {
	t.Helper()
	all := HostileTars(t, dir)
	for _, h := range all {
		t.Run(h.Name, func(t *testing.T) {
			w, ok := want[h.Name]
			if !ok {
				t.Error("no wanted result")
			}
			got, err := read(t, h.Tar)
			if part, fails := strings.CutPrefix(w, "error: "); fails {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("%q, %v; want an error with %q", got, err, part)
				}
			} else if got != w || err != nil {
				t.Errorf("%q, %v; want %q", got, err, w)
			}
		})
	}
	if len(want) != len(all) {
		t.Errorf("%d wanted results for %d tars", len(want), len(all))
	}
}
