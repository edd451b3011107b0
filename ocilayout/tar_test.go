package ocilayout

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/rootfs"
)

func treeOf(entries ...rootfs.Entry) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// tarEntry is an entry as a reader sees it.
type tarEntry struct {
	Path, Target, Content string
	Mode                  fs.FileMode
	UID, GID              int
}

func readTar(t *testing.T, b []byte) ([]tarEntry, error) {
	t.Helper()
	var all []tarEntry
	r := tar.NewReader(bytes.NewReader(b))
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if h.Uname != "" || h.Gname != "" || !h.ModTime.Equal(time.Unix(1, 0)) ||
			h.Format == tar.FormatGNU || h.Devmajor != 0 || h.Devminor != 0 {
			return nil, fmt.Errorf("header %+v", h)
		}
		for key := range h.PAXRecords {
			if !slices.Contains([]string{"path", "linkpath", "size", "uid", "gid"}, key) {
				return nil, fmt.Errorf("PAX record %q", key)
			}
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		e := tarEntry{
			Path: h.Name, Target: h.Linkname, Content: string(content), UID: h.Uid, GID: h.Gid,
			Mode: fs.FileMode(h.Mode & 0o777),
		}
		if h.Mode&0o1000 != 0 {
			e.Mode |= fs.ModeSticky
		}
		switch h.Typeflag {
		case tar.TypeDir:
			if !strings.HasSuffix(h.Name, "/") {
				return nil, fmt.Errorf("directory %q without a slash", h.Name)
			}
			e.Path = strings.TrimSuffix(h.Name, "/")
			e.Mode |= fs.ModeDir
		case tar.TypeSymlink:
			e.Mode |= fs.ModeSymlink
		case tar.TypeReg:
		default:
			return nil, fmt.Errorf("type %q", h.Typeflag)
		}
		all = append(all, e)
	}
	return all, nil
}

func wantEntry(e rootfs.Entry, content string) tarEntry {
	return tarEntry{e.Path, e.Target, content, e.Mode, e.UID, e.GID}
}

func TestTar(t *testing.T) {
	at := func(n int) string { return strings.Repeat("n", n) }
	owned := func(e rootfs.Entry, uid, gid int) rootfs.Entry {
		e.UID, e.GID = uid, gid
		return e
	}
	for _, test := range []struct {
		name   string
		entry  rootfs.Entry
		blocks int // of headers, without the two at the end; PAX adds two or more
	}{
		{"directory", rootfs.Dir("a", 0o555), 1},
		{"sticky", rootfs.Dir("tmp", fs.ModeSticky|0o777), 1},
		{"empty file", file("a", ""), 1},
		{"executable", rootfs.File("a", 0o555, 0, file("a", "").Open), 1},
		{"link", rootfs.Link("a", "b"), 1},
		{"owner", owned(rootfs.Dir("a", 0o755), 1000, 100), 1},
		{"largest owner", owned(rootfs.Dir("a", 0o755), 1<<21-1, 1<<21-1), 1},
		{"large uid", owned(rootfs.Dir("a", 0o755), 1<<21, 0), 3},
		{"large gid", owned(rootfs.Dir("a", 0o755), 0, 1<<32-2), 3},
		{"name 99", rootfs.Link(at(99), "b"), 1},
		{"name 100", rootfs.Link(at(100), "b"), 1},
		{"name 101", rootfs.Link(at(101), "b"), 3},
		{"directory 99", rootfs.Dir(at(99), 0o755), 1},
		{"directory 100", rootfs.Dir(at(100), 0o755), 3},
		{"name 255", rootfs.Link(at(255), "b"), 3},
		{"split 1+100", rootfs.Link("p/"+at(100), "b"), 1},
		{"split 1+101", rootfs.Link("p/"+at(101), "b"), 3},
		{"split 154+100", rootfs.Link(at(154)+"/"+at(100), "b"), 1},
		{"split 155+100", rootfs.Link(at(155)+"/"+at(100), "b"), 1},
		{"split 156+99", rootfs.Link(at(156)+"/"+at(99), "b"), 3},
		{"split 155+1", rootfs.Link(at(155)+"/n", "b"), 1},
		{"split 156+1", rootfs.Link(at(156)+"/n", "b"), 3},
		{"split directory 155+99", rootfs.Dir(at(155)+"/"+at(99), 0o755), 1},
		{"split directory 155+100", rootfs.Dir(at(155)+"/"+at(100), 0o755), 3},
		{"split directory 100/", rootfs.Dir("p/"+at(98), 0o755), 1},
		{"split late", rootfs.Link(strings.Repeat("12345678/", 20)+"n", "b"), 1},
		{"deep", rootfs.Link(strings.Repeat("d/", 1000)+"n", "b"), 1 + 1 + 4},
		{"target 100", rootfs.Link("a", at(100)), 1},
		{"target 101", rootfs.Link("a", at(101)), 3},
		{"target 4095", rootfs.Link("a", at(4095)), 1 + 1 + 9},
		{"both", rootfs.Link(at(101), at(101)), 3},
		{"not UTF-8", rootfs.Link("na\xefve", "ta\xffrget"), 1},
		{"not UTF-8, long", rootfs.Link(strings.Repeat("\xef", 200), strings.Repeat("\xff", 200)), 3},
		{"newline", rootfs.Link("a\nb", "c\nd"), 1},
		{"newline, long", rootfs.Link(strings.Repeat("a\n", 100), strings.Repeat("=\n", 100)), 3},
		{"not a whiteout", rootfs.Link("a.wh.", "b"), 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := writeTar(t.Context(), &b, treeOf(test.entry), nil, nil); err != nil {
				t.Fatal(err)
			}
			if got, want := b.Len(), (test.blocks+2)*blockSize; got != want {
				t.Errorf("tar has %d bytes, want %d", got, want)
			}
			got, err := readTar(t, b.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]tarEntry{wantEntry(test.entry, "")}, got); d != "" {
				t.Errorf("archive/tar reads (-want +got):\n%s", d)
			}
		})
	}
}

// TestTarSizes writes contents around the sizes of a block and of the buffer.
func TestTarSizes(t *testing.T) {
	var entries []rootfs.Entry
	var want []tarEntry
	for i, n := range []int{0, 1, 511, 512, 513, tarBuffer - 512, tarBuffer - 511, tarBuffer - 1, tarBuffer, tarBuffer + 1, 3*tarBuffer + 7} {
		content := text(uint64(i), n)
		e := file(fmt.Sprintf("f%02d", i), content)
		entries = append(entries, e)
		want = append(want, wantEntry(e, content))
	}
	var b bytes.Buffer
	var progress int64
	if err := writeTar(t.Context(), &b, treeOf(entries...), nil, func(n int64) { progress += n }); err != nil {
		t.Fatal(err)
	}
	got, err := readTar(t, b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("archive/tar reads (-want +got):\n%s", d)
	}
	var sum int64
	for _, e := range entries {
		sum += e.Size
	}
	if progress != sum {
		t.Errorf("progress is %d bytes, want %d", progress, sum)
	}
}

// TestTarLargeFile checks sizes that no test can write, by the header alone.
func TestTarLargeFile(t *testing.T) {
	for _, test := range []struct {
		size   int64
		blocks int
	}{{1<<33 - 1, 1}, {1 << 33, 3}, {1<<33 + 1, 3}, {1<<63 - 1, 3}} {
		b, err := appendHeader(nil, rootfs.File("a", 0o444, test.size, nil))
		if err != nil {
			t.Fatal(err)
		}
		h, err := tar.NewReader(bytes.NewReader(b)).Next()
		if err != nil {
			t.Fatal(err)
		}
		if h.Size != test.size || len(b) != test.blocks*blockSize {
			t.Errorf("header of %d bytes: size %d in %d bytes; want %d blocks", test.size, h.Size, len(b), test.blocks)
		}
	}
}

// TestTarRecord checks that a record counts its own length, also when that needs one more digit.
func TestTarRecord(t *testing.T) {
	for n := range 2000 {
		record := string(appendRecord(nil, "path", strings.Repeat("x", n)))
		if want := fmt.Sprintf("%d path=%s\n", len(record), strings.Repeat("x", n)); record != want {
			t.Fatalf("appendRecord(%d bytes) = %.20q, want %.20q", n, record, want)
		}
	}
}

func TestTarRefuses(t *testing.T) {
	broken := errors.New("broken")
	size := func(n int64, content string) rootfs.Entry {
		e := file("dir/f", content)
		e.Size = n
		return e
	}
	failing := file("dir/f", "abc")
	failing.Open = func() (io.ReadCloser, error) { return io.NopCloser(iotest.ErrReader(broken)), nil }
	stuck := file("dir/f", "abc")
	stuck.Open = func() (io.ReadCloser, error) { return io.NopCloser(stuckReader{}), nil }
	missing := file("dir/f", "abc")
	missing.Open = func() (io.ReadCloser, error) { return nil, fs.ErrNotExist }
	owner := rootfs.Dir("a", 0o755)
	owner.UID = -1
	for _, test := range []struct {
		name  string
		entry rootfs.Entry
		want  string
		is    error
	}{
		{"whiteout", file(".wh.a", ""), `write ".wh.a": a name that begins with .wh.`, nil},
		{"whiteout below", file("a/.wh..wh..opq", ""), `write "a/.wh..wh..opq"`, nil},
		{"whiteout above", file("a/.wh.b/c", ""), `write "a/.wh.b/c"`, nil},
		{"shrunk", size(5, "abc"), `read "dir/f": changed while it was read: 3 bytes of 5`, nil},
		{"grown", size(2, "abc"), `read "dir/f": changed while it was read: more than 2 bytes`, nil},
		{"grown from nothing", size(0, "abc"), `read "dir/f": changed while it was read: more than 0 bytes`, nil},
		{"grown by more than a buffer", size(1, text(1, 2*tarBuffer)), `more than 1 bytes`, nil},
		{"unreadable", failing, `read "dir/f": broken`, broken},
		{"stuck", stuck, `read "dir/f"`, io.ErrNoProgress},
		{"missing", missing, `read "dir/f"`, fs.ErrNotExist},
		{"owner", owner, "owner -1:0", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := writeTar(t.Context(), io.Discard, treeOf(test.entry), nil, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("writeTar(%q): %v; want %q, %v", test.entry.Path, err, test.want, test.is)
			}
		})
	}
}

type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }

// TestTarReaders uses readers that return little at a time, or EOF with the last bytes.
func TestTarReaders(t *testing.T) {
	content := text(1, 100_000)
	var want bytes.Buffer
	if err := writeTar(t.Context(), &want, treeOf(file("f", content)), nil, nil); err != nil {
		t.Fatal(err)
	}
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"one byte": iotest.OneByteReader, "half": iotest.HalfReader, "data and error": iotest.DataErrReader,
	} {
		e := file("f", content)
		e.Open = func() (io.ReadCloser, error) { return io.NopCloser(wrap(strings.NewReader(content))), nil }
		var b bytes.Buffer
		if err := writeTar(t.Context(), &b, treeOf(e), nil, nil); err != nil || !bytes.Equal(b.Bytes(), want.Bytes()) {
			t.Errorf("%s: other bytes, %v", name, err)
		}
	}
}

// TestTarCancel checks that a cancelled context is noticed within a file.
func TestTarCancel(t *testing.T) {
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	endless := rootfs.File("f", 0o444, 1<<40, func() (io.ReadCloser, error) { return io.NopCloser(zeroReader{}), nil })
	var n int64
	err := writeTar(ctx, io.Discard, treeOf(endless), nil, func(m int64) {
		if n += m; n > 1<<20 {
			cancel(stop)
		}
	})
	if !errors.Is(err, stop) || n > 2<<20 {
		t.Errorf("writeTar: %v after %d bytes; want %v soon after %d", err, n, stop, 1<<20)
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { return len(p), nil }

// TestTarDigest pins the format. If it fails, every image changes.
func TestTarDigest(t *testing.T) {
	h := digest.Canonical.Digester()
	if err := writeTar(t.Context(), h.Hash(), rootfs.Join(sample(1)), nil, nil); err != nil {
		t.Fatal(err)
	}
	const want = "sha256:f86eae305f65b918df28528696929c18953c67639e6b6abbc30a23ca3a116a76"
	if h.Digest() != want {
		t.Errorf("tar has digest %s, want %s", h.Digest(), want)
	}
}

// TestTarAllocations checks that a file allocates no memory of its own.
func TestTarAllocations(t *testing.T) {
	measure := func(n int) float64 {
		e := file("f", "content")
		tree := func(yield func(rootfs.Entry, error) bool) {
			for range n {
				if !yield(e, nil) {
					return
				}
			}
		}
		return testing.AllocsPerRun(3, func() { _ = writeTar(t.Context(), io.Discard, tree, nil, nil) })
	}
	// The test itself allocates two, in Open.
	if per := (measure(1100) - measure(100)) / 1000; per > 2.1 {
		t.Errorf("%v allocations for each file", per)
	}
}

// TestTarTools reads our tar with other programs, if they are installed.
func TestTarTools(t *testing.T) {
	var b bytes.Buffer
	if err := writeTar(t.Context(), &b, treeOf(
		rootfs.Dir("d", 0o755),
		file("d/"+strings.Repeat("n", 120), "long"),
		rootfs.Link("d/l", strings.Repeat("t", 300)),
		file("d/m\xefn", "not UTF-8"),
		rootfs.Dir("e", fs.ModeSticky|0o777)), nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"tar", "bsdtar"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			continue
		}
		dir := t.TempDir()
		c := exec.Command(path, "-xf", "-", "-C", dir)
		c.Stdin = bytes.NewReader(b.Bytes())
		if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v, %s", tool, err, out)
			continue
		}
		if got, err := os.ReadFile(filepath.Join(dir, "d", strings.Repeat("n", 120))); string(got) != "long" {
			t.Errorf("%s: %q, %v", tool, got, err)
		}
		if got, err := os.Readlink(filepath.Join(dir, "d/l")); got != strings.Repeat("t", 300) {
			t.Errorf("%s: %q, %v", tool, got, err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "d/m\xefn")); string(got) != "not UTF-8" {
			t.Errorf("%s: %q, %v", tool, got, err)
		}
	}
}

// FuzzTar writes two entries and reads them with archive/tar.
func FuzzTar(f *testing.F) {
	f.Add("a", "b", "target", "content", uint32(0), uint32(0), uint16(0o444))
	f.Add("a", strings.Repeat("d/", 60)+strings.Repeat("n", 101), strings.Repeat("t", 101), "", uint32(1<<21), uint32(1<<31), uint16(0o1777))
	f.Add(strings.Repeat("\xff", 255), "x\n1 path=y\n", "\xfe\n", strings.Repeat("c", 513), uint32(0), uint32(0), uint16(0))
	f.Fuzz(func(t *testing.T, name, link, target, content string, uid, gid uint32, mode uint16) {
		one := file(name, content)
		one.UID, one.GID = int(uid), int(gid)
		one.Mode = fs.FileMode(mode & 0o777)
		two := rootfs.Link(link, target)
		three := rootfs.Dir("zzzz", fs.FileMode(mode&0o777))
		entries := []rootfs.Entry{one, two, three}
		for _, e := range entries[:2] {
			for _, name := range strings.Split(e.Path, "/") {
				if rootfs.CheckName(name) != nil {
					return
				}
			}
		}
		if rootfs.CheckTarget(target) != nil {
			return
		}
		var b bytes.Buffer
		err := writeTar(t.Context(), &b, treeOf(entries...), nil, nil)
		if strings.Contains("/"+name, "/.wh.") || strings.Contains("/"+link, "/.wh.") {
			if err == nil {
				t.Errorf("writeTar(%q, %q): <nil>; want it refused", name, link)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := readTar(t, b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		want := []tarEntry{wantEntry(one, content), wantEntry(two, ""), wantEntry(three, "")}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("archive/tar reads (-want +got):\n%s", d)
		}
	})
}
