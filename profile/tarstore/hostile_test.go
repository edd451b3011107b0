package tarstore

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
)

// brief lists a tree without hashes: "d path", "f path content", "x path content", "l path -> target".
func brief(t rootfs.Tree) ([]string, error) {
	var lines []string
	for e, err := range t {
		if err != nil {
			return lines, err
		}
		line := "d " + e.Path
		switch {
		case e.IsLink():
			line = "l " + e.Path + " -> " + e.Target
		case e.IsRegular():
			r, err := e.Open()
			if err != nil {
				return lines, err
			}
			b, err := io.ReadAll(r)
			if err := errors.Join(err, r.Close()); err != nil {
				return lines, err
			}
			line = "f " + e.Path + " " + string(b)
			if e.Mode.Perm() == 0o555 {
				line = "x" + line[1:]
			}
		}
		lines = append(lines, line)
	}
	return lines, nil
}

type archiveCase struct {
	name    string
	members []member
	open    string   // substring of Open's error
	files   string   // substring of the error of Files(pathA)
	want    []string // Files(pathA)
}

func archives() []archiveCase {
	long := strings.Repeat("n", rootfs.MaxName)
	deep := strings.Repeat("d/", 300) + "x"
	owned := exe(objA, "a")
	owned.Uid, owned.Gid, owned.Uname, owned.Mode = 1<<40, 1000, "someone", 0o7755
	owned.PAXRecords = map[string]string{"SCHILY.xattr.user.x": "y"}
	global := member{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "0123"}}}
	globalSize := member{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"size": "7"}}}
	slash := func(m member) member { m.Name = "/" + m.Name; return m }
	return []archiveCase{
		{name: "file", members: []member{reg(objA, "a")}, want: []string{"f " + objA + " a"}},
		{name: "empty file", members: []member{reg(objA, "")}, want: []string{"f " + objA + " "}},
		{name: "program", members: []member{exe(objA, "a")}, want: []string{"x " + objA + " a"}},
		{name: "link", members: []member{sym(objA, "../../etc")}, want: []string{"l " + objA + " -> ../../etc"}},
		{name: "empty directory", members: []member{dir(objA)}, want: []string{"d " + objA}},
		{name: "owner, mode, attributes", members: []member{owned}, want: []string{"x " + objA + " a"}},
		{name: "global header", members: []member{global, reg(objA, "a"), global}, want: []string{"f " + objA + " a"}},
		{name: "missing parents", members: []member{reg(objA+"/b/c", "c")}, want: []string{"d " + objA, "d " + objA + "/b", "f " + objA + "/b/c c"}},
		{name: "out of order", members: []member{reg(objA+"/b-", "1"), reg(objA+"/b/c", "2"), dir(objA + "/b"), reg(objA+"/a", "3"), dir("nix")},
			want: []string{"d " + objA, "f " + objA + "/a 3", "d " + objA + "/b", "f " + objA + "/b/c 2", "f " + objA + "/b- 1"}},
		{name: "dots and slashes", members: []member{reg(".//nix/./store//"+objA[10:], "a"), dir("."), dir("./")}, want: []string{"f " + objA + " a"}},
		{name: "absolute", members: []member{slash(dir(objA)), slash(reg(objA+"/x", "a")), slash(hard(objA+"/y", "/"+objA+"/x"))},
			want: []string{"d " + objA, "f " + objA + "/x a", "f " + objA + "/y a"}},
		{name: "odd names", members: []member{reg(objA+"/\xff\n\t\\", "1"), reg(objA+"/é", "2"), sym(objA+"/z", "\xfe")},
			want: []string{"d " + objA, "l " + objA + "/z -> \xfe", "f " + objA + "/é 2", "f " + objA + "/\xff\n\t\\ 1"}},
		{name: "long name", members: []member{reg(objA+"/"+long, "a")}, want: []string{"d " + objA, "f " + objA + "/" + long + " a"}},
		{name: "longer name", members: []member{reg(objA+"/"+long+"n", "a")}, open: "longer than 255 bytes"},
		{name: "long target", members: []member{sym(objA, strings.Repeat("t", rootfs.MaxTarget))}, want: []string{"l " + objA + " -> " + strings.Repeat("t", rootfs.MaxTarget)}},
		{name: "longer target", members: []member{sym(objA, strings.Repeat("t", rootfs.MaxTarget+1))}, files: "longer than 4095 bytes"},
		{name: "no target", members: []member{sym(objA, "")}, files: "empty link target"},
		{name: "deep", members: []member{reg(objA+"/"+deep, "a")}, want: append(dirs(objA, 300), "f "+objA+"/"+deep+" a")},
		{name: "too deep", members: []member{reg(objA+"/"+strings.Repeat("d/", 2000)+"x", "")}, open: "deeper than"},
		{name: "global header that sets a size", members: []member{globalSize, reg(objA, "a")}, open: `global header that sets "size"`},

		{name: "dots", members: []member{reg(objA+"/../x", "a")}, open: `contains ".."`},
		{name: "dots outside", members: []member{reg("../x", "a"), reg(objA, "a")}, open: `contains ".."`},
		{name: "hard link with dots", members: []member{hard(objA, "../x")}, open: `contains ".."`},
		{name: "file as root", members: []member{reg(".", "a")}, open: "the archive's root is a regular file"},
		{name: "below a file", members: []member{reg(objA, "a"), reg(objA+"/x", "x")}, open: "which is a regular file"},
		{name: "below a link", members: []member{sym(objA+"/x", "/etc"), reg(objA+"/x/passwd", "x")}, open: "which is a symbolic link"},
		{name: "below a hard link", members: []member{dir(objB), hard(objA, objB), reg(objA+"/x", "x")}, open: "which is a hard link"},
		{name: "link to a store", members: []member{sym("nix/store", "/etc"), reg(objA, "x")}, open: "which is a symbolic link"},

		{name: "directory twice", members: []member{dir(objA), dir(objA), reg(objA+"/x", "x"), dir(objA)}, want: []string{"d " + objA, "f " + objA + "/x x"}},
		{name: "file twice", members: []member{reg(objA, "a"), reg("./"+objA, "a")}, want: []string{"f " + objA + " a"}},
		{name: "file twice, other content", members: []member{reg(objA, "a"), reg(objA, "b")}, open: "with different content"},
		{name: "file twice, other size", members: []member{reg(objA, "a"), reg(objA, "aa")}, open: "with different content"},
		{name: "file twice, other mode", members: []member{reg(objA, "a"), exe(objA, "a")}, open: "with different content"},
		{name: "large file twice, other content", members: []member{reg(objA, strings.Repeat("a", 200_000)), reg(objA, strings.Repeat("a", 199_999)+"b")}, open: "with different content"},
		{name: "file and directory", members: []member{reg(objA, "a"), dir(objA)}, open: "as a regular file and as a directory"},
		{name: "directory and file", members: []member{reg(objA+"/x", "a"), reg(objA, "a")}, open: "as a directory and as a regular file"},
		{name: "directory and link", members: []member{dir(objA + "/x"), sym(objA+"/x", "/etc"), reg(objA+"/x/passwd", "")}, open: "as a directory and as a symbolic link"},
		{name: "link twice", members: []member{sym(objA, "x"), sym(objA, "x")}, want: []string{"l " + objA + " -> x"}},
		{name: "link twice, other target", members: []member{sym(objA, "x"), sym(objA, "y")}, open: "with different content"},
		{name: "hard link to itself, again", members: []member{reg(objA, "a"), hard(objA, objA)}, want: []string{"f " + objA + " a"}},
		{name: "file, and hard link to the same content", members: []member{reg(objA, "a"), reg(objB, "a"), hard(objA, objB)}, open: "with different content"},
		{name: "directory, and hard link to one", members: []member{dir(objA), dir(objB), hard(objA, objB)}, open: "hard link to a directory"},
		{name: "file, and hard link to nothing", members: []member{reg(objA, "a"), hard(objA, objB)}, open: "which is not in the tar"},

		{name: "hard link back", members: []member{exe(objB, "b"), hard(objA, objB)}, want: []string{"x " + objA + " b"}},
		{name: "hard link forward", members: []member{hard(objA, objB), exe(objB, "b")}, want: []string{"x " + objA + " b"}},
		{name: "hard link to a link", members: []member{sym(objB, "x"), hard(objA, objB)}, want: []string{"l " + objA + " -> x"}},
		{name: "hard link to .links", members: []member{exe("nix/store/.links/1", "b"), hard(objA+"/x", "nix/store/.links/1"), hard(objB, objA+"/x")}, want: []string{"d " + objA, "x " + objA + "/x b"}},
		{name: "hard link to the outside", members: []member{reg("etc/x", "b"), hard(objA, "/etc/x")}, want: []string{"f " + objA + " b"}},
		{name: "hard link to a hard link", members: []member{hard(objA+"/1", objA+"/2"), hard(objA+"/2", objA+"/3"), reg(objA+"/3", "b")}, want: []string{"d " + objA, "f " + objA + "/1 b", "f " + objA + "/2 b", "f " + objA + "/3 b"}},
		{name: "hard link to nothing", members: []member{hard(objA, "nix/store/.links/1")}, files: `leads to "nix/store/.links/1", which is not in the tar`},
		{name: "hard link to a directory", members: []member{dir(objB), hard(objA, objB)}, files: "which is a directory"},
		{name: "hard link to the root", members: []member{hard(objA, "./")}, files: "which is a directory"},
		{name: "hard link to a device", members: []member{special(tar.TypeChar, "dev/null"), hard(objA, "dev/null")}, files: "which is a device"},
		{name: "hard link to itself", members: []member{hard(objA, objA)}, files: "leads to itself"},
		{name: "hard links in a cycle", members: []member{hard(objA+"/1", objA+"/2"), hard(objA+"/2", objA+"/3"), hard(objA+"/3", objA+"/2")}, files: "leads to itself"},
		{name: "hard link to one that leads to nothing", members: []member{hard(objA, objB), hard(objB, "gone")}, files: `leads to "gone"`},
		{name: "hard link through a link", members: []member{sym("x", objB), reg(objB+"/y", "b"), hard(objA, "x/y")}, files: "not in the tar"},

		{name: "device", members: []member{special(tar.TypeBlock, objA+"/x")}, files: "is a device or other special file, which a store object cannot contain"},
		{name: "named pipe", members: []member{special(tar.TypeFifo, objA)}, files: "is a device or other special file"},
		{name: "device outside", members: []member{special(tar.TypeChar, "dev/null"), special(tar.TypeChar, "dev/null"), reg(objA, "a")}, want: []string{"f " + objA + " a"}},
		{name: "device in another object", members: []member{special(tar.TypeChar, objB), reg(objA, "a")}, want: []string{"f " + objA + " a"}},
	}
}

func dirs(name string, n int) []string {
	lines := []string{"d " + name}
	for range n {
		name += "/d"
		lines = append(lines, "d "+name)
	}
	return lines
}

// TestArchives checks Open and Files for good and bad archives.
func TestArchives(t *testing.T) {
	for _, test := range archives() {
		t.Run(test.name, func(t *testing.T) {
			s, err := openBytes(t, pack(t, test.members...), Options{})
			if test.open != "" {
				if err == nil || !strings.Contains(err.Error(), test.open) {
					t.Errorf("Open() = %v; want an error with %q", err, test.open)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := brief(rootfs.Check(objA, s.Files(t.Context(), pathA)))
			if test.files != "" {
				if err == nil || !strings.Contains(err.Error(), test.files) {
					t.Errorf("Files() = %q, %v; want an error with %q", got, err, test.files)
				}
				return
			}
			if d := cmp.Diff(test.want, got); d != "" || err != nil {
				t.Errorf("Files(): %v (-want +got):\n%s", err, d)
			}
		})
	}
}

// TestEnd checks that a truncated archive is an error, and so is another one after the end. Other data may follow.
func TestEnd(t *testing.T) {
	whole := pack(t,
		member{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}},
		reg(objA+"/"+strings.Repeat("n", 200), "a"),
		// The last block of this name is all zeros, and so is the block of this content.
		member{tar.Header{Typeflag: tar.TypeReg, Format: tar.FormatGNU, Name: objA + "/" + strings.Repeat("m/", 231) + "x"}, strings.Repeat("\x00", 512)},
		reg(objA+"/z", "z"),
	)
	end := len(whole) - 2*blockSize
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	trailing := false
	open := func(b []byte) error {
		if err := f.Truncate(0); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), f, Options{})
		trailing = err == nil && s.Trailing()
		return err
	}
	for n := range len(whole) {
		err := open(whole[:n])
		var format *FormatError
		switch {
		case n < blockSize:
			if !errors.As(err, &format) {
				t.Fatalf("Open of %d of %d bytes: %v; want a FormatError", n, len(whole), err)
			}
		case n < end+blockSize:
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("Open of %d of %d bytes: %v; want %v", n, len(whole), err, io.ErrUnexpectedEOF)
			}
		case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Fatalf("Open of %d of %d bytes: %v", n, len(whole), err)
		}
	}
	for name, test := range map[string]struct {
		archive []byte
		more    bool
		err     string
	}{
		"whole":                  {whole, false, ""},
		"one block of zeros":     {whole[:end+blockSize], false, ""},
		"filled to 10 KiB":       {append(slices.Clone(whole), make([]byte, 10<<10)...), false, ""},
		"filled unevenly":        {append(slices.Clone(whole), make([]byte, 77)...), false, ""},
		"newline after the end":  {append(slices.Clone(whole), '\n'), true, ""},
		"data after the end":     {append(append(slices.Clone(whole), make([]byte, 3000)...), 'x'), true, ""},
		"rest of a raw device":   {slices.Concat(whole, make([]byte, 100_000), bytes.Repeat([]byte("old content"), 100_000)), true, ""},
		"two archives":           {append(slices.Clone(whole), whole...), false, "another archive begins here"},
		"two archives and a gap": {slices.Concat(whole, make([]byte, 200<<10), whole), false, "another archive begins here"},
		"two archives, no gap":   {append(slices.Clone(whole[:end+blockSize]), whole...), false, "invalid tar header"},
		"an invalid header":      {append(slices.Clone(whole[:end]), bytes.Repeat([]byte("x"), 2048)...), false, "invalid tar header"},
	} {
		if err := open(test.archive); test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s: Open() = %v; want error %q", name, err, test.err)
		}
		if trailing != test.more {
			t.Errorf("%s: Trailing() = %v; want %v", name, trailing, test.more)
		}
	}
}

// TestCutCompressed checks that a compressed archive cut at any byte is an error, and that other data may follow it.
func TestCutCompressed(t *testing.T) {
	whole := pack(t, reg(objA, "content"), reg(objB, "\x00\x01\x02"))
	for name, b := range map[string][]byte{"gzip": gzipped(t, whole), "zstd": zstded(t, whole)} {
		for n := 10; n < len(b); n++ {
			if _, err := openBytes(t, b[:n], Options{SpoolDir: t.TempDir()}); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: Open of %d of %d bytes: %v; want %v", name, n, len(b), err, io.ErrUnexpectedEOF)
			}
		}
		for _, extra := range []string{"x", "\x00", "more than a few bytes of something else"} {
			if s, err := openBytes(t, append(slices.Clone(b), extra...), Options{}); err != nil || !s.Trailing() {
				t.Errorf("%s: Open with %q after the archive = %v, %v; want that data follow", name, extra, s, err)
			}
		}
	}
}

// raw packs a member, changes its header block, and corrects the checksum.
func raw(t testing.TB, m member, change func(block []byte)) []byte {
	t.Helper()
	b := pack(t, m)
	head := b[:blockSize]
	change(head)
	copy(head[148:156], "        ")
	sum := 0
	for _, c := range head {
		sum += int(c)
	}
	copy(head[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// TestHeaders checks headers that archive/tar does not write.
func TestHeaders(t *testing.T) {
	size := func(s string) func([]byte) { return func(b []byte) { copy(b[124:136], s) } }
	flag := func(c byte) func([]byte) { return func(b []byte) { b[156] = c } }
	for _, test := range []struct {
		name    string
		archive []byte
		err     string
		is      error
		want    []string
	}{
		{name: "base-256 size", archive: raw(t, reg(objA, "abc"), size("\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03")), want: []string{"f " + objA + " abc"}},
		{name: "base-256 size of 2^62+1", archive: raw(t, reg(objA, "abc"), size("\x80\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x01")), err: "file of"},
		{name: "base-256 size of 2^61", archive: raw(t, reg(objA, "abc"), size("\x80\x00\x00\x00\x20\x00\x00\x00\x00\x00\x00\x00")), is: io.ErrUnexpectedEOF},
		{name: "base-256 size of 2^63-1", archive: raw(t, reg(objA, "abc"), size("\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff")), err: "file of"},
		{name: "base-256 size of 2^64", archive: raw(t, reg(objA, "abc"), size("\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00")), err: "invalid tar header"},
		{name: "negative size", archive: raw(t, reg(objA, "abc"), size("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")), err: "invalid tar header"},
		{name: "size that is no number", archive: raw(t, reg(objA, "abc"), size("0000x")), err: "invalid tar header"},
		{name: "directory with a size", archive: raw(t, dir(objA), size("00000001000")), want: []string{"d " + objA}},
		{name: "contiguous file", archive: raw(t, reg(objA, "abc"), flag('7')), want: []string{"f " + objA + " abc"}},
		{name: "old file", archive: raw(t, reg(objA, "abc"), flag(0)), want: []string{"f " + objA + " abc"}},
		{name: "unknown type", archive: raw(t, reg(objA, "abc"), flag('Z')), err: "which a store object cannot contain"},
		{name: "volume label", archive: raw(t, special(tar.TypeReg, objA), flag('V')), err: "without a store"},
		{name: "continued from another volume", archive: raw(t, reg(objA, "abc"), flag('M')), err: "another volume"},
		{name: "old sparse file", archive: raw(t, member{tar.Header{Typeflag: tar.TypeReg, Format: tar.FormatGNU, Name: objA}, ""}, func(b []byte) {
			flag('S')(b)
			copy(b[386:], "77777777777\x0000000000000\x00")
			copy(b[483:], "77777777777\x00")
		}), err: "sparse"},
		{name: "sparse file", archive: pack(t, member{tar.Header{Typeflag: tar.TypeReg, Name: objA, PAXRecords: map[string]string{"VENDOR.x": "y"}}, "0\n" + strings.Repeat("\x00", 510)}), want: []string{"f " + objA + " 0\n" + strings.Repeat("\x00", 510)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			// Start with a valid header, so that the file is recognised as a tar.
			first := pack(t, reg("x", ""))
			s, err := openBytes(t, append(first[:blockSize:blockSize], test.archive...), Options{})
			var got []string
			if err == nil {
				got, err = brief(s.Files(t.Context(), pathA))
			}
			if test.err != "" || test.is != nil {
				if err == nil || !strings.Contains(err.Error(), test.err) || test.is != nil && !errors.Is(err, test.is) {
					t.Errorf("%q, %v; want an error with %q, %v", got, err, test.err, test.is)
				}
				return
			}
			if d := cmp.Diff(test.want, got); d != "" || err != nil {
				t.Errorf("Files(): %v (-want +got):\n%s", err, d)
			}
		})
	}
}

// TestSparsePAX checks that a sparse file is an error.
// archive/tar does not write sparse files, so the test patches the header afterwards.
func TestSparsePAX(t *testing.T) {
	b := pack(t, member{tar.Header{Typeflag: tar.TypeReg, Name: objA, PAXRecords: map[string]string{
		"VND.sparse.major": "1", "VND.sparse.minor": "0", "VND.sparse.realsize": "1000000000000",
	}}, "0\n" + strings.Repeat("\x00", 510)})
	b = bytes.ReplaceAll(b, []byte("VND.sparse"), []byte("GNU.sparse"))
	if _, err := openBytes(t, b, Options{}); err == nil || !strings.Contains(err.Error(), "sparse") {
		t.Errorf("Open of a tar with a sparse file: %v; want an error", err)
	}
}

// TestHugeRecords checks that large extension headers are errors.
func TestHugeRecords(t *testing.T) {
	for flag, want := range map[byte]string{'x': "too long", 'g': "too long", 'L': "too long", 'K': "too long"} {
		b := raw(t, reg("x", strings.Repeat("x", 2<<20)), func(b []byte) { b[156] = flag })
		if _, err := openBytes(t, b, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open with 2 MiB of type %q: %v; want an error with %q", flag, err, want)
		}
	}
}

// TestChanged checks that a walk notices a file that shrank after Open.
func TestChanged(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(pack(t, reg(objA, "content")), 0); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.Truncate(f.Name(), blockSize+3); err != nil {
		t.Fatal(err)
	}
	if _, err := storetest.List(s.Files(t.Context(), pathA)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Files of a tar that was cut: %v; want %v", err, io.ErrUnexpectedEOF)
	}
}

// TestManyLinks checks that a long chain of hard links is resolved, in linear time.
func TestManyLinks(t *testing.T) {
	const n = 5_000
	all := []member{reg(fmt.Sprintf("%s/%d", objA, n), "end")}
	for i := range n {
		all = append(all, hard(fmt.Sprintf("%s/%d", objA, i), fmt.Sprintf("%s/%d", objA, i+1)))
	}
	slices.Reverse(all)
	s, err := openBytes(t, pack(t, all...), Options{})
	if err != nil {
		t.Fatal(err)
	}
	lines, err := brief(s.Files(t.Context(), pathA))
	if err != nil || len(lines) != n+2 || !strings.HasSuffix(lines[1], "/0 end") {
		t.Errorf("Files() = %d lines, %v; want %d", len(lines), err, n+2)
	}
}

// FuzzOpen checks that no archive causes a panic, an invalid tree or an entry outside its object.
func FuzzOpen(f *testing.F) {
	for _, test := range archives() {
		if b := pack(f, test.members...); len(b) < 1<<20 {
			f.Add(b)
		}
	}
	f.Add(gzipped(f, pack(f, reg(objA, "a"))))
	f.Add(zstded(f, pack(f, reg(objA, "a"))))
	f.Fuzz(func(t *testing.T, archive []byte) {
		s, err := openBytes(t, archive, Options{})
		if err != nil {
			return
		}
		paths, err := s.Paths(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			checkTree(t, s, p)
		}
		_, _ = s.Readlink("/nix/var/nix/profiles/default")
		_, _ = s.Database(t.TempDir())
	})
}

// checkTree checks that the entries of an object form a valid tree, or that the walk returns an error.
func checkTree(t *testing.T, s *Store, p profile.Path) {
	files := s.Files(t.Context(), p)
	var want error
	for _, err := range files {
		want = err
	}
	lines, err := brief(rootfs.Check(p.Root(), files))
	if (err == nil) != (want == nil) && !strings.Contains(fmt.Sprint(err), "deeper than") {
		t.Errorf("Files(%q) breaks the rules of a tree: %v", p, err)
	}
	for _, line := range lines {
		if !strings.HasPrefix(line[2:], p.Root()) {
			t.Errorf("Files(%q) gave %q", p, line)
		}
	}
}
