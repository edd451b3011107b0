package localstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
)

// bare opens a store without its database, so that files are not verified.
func bare(t testing.TB, root string) *Store {
	t.Helper()
	s, err := Open(t.Context(), root, Options{NoDatabase: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// lines lists the entries of an object briefly: "d MODE path", "f MODE path content" and "l MODE path -> target".
func lines(t testing.TB, s *Store, p profile.Path) (lines []string, err error) {
	t.Helper()
	for e, err := range rootfs.Check(p.Root(), s.Files(t.Context(), p)) {
		if err != nil {
			return lines, err
		}
		name := strings.TrimPrefix(strings.TrimPrefix(e.Path, p.Root()), "/")
		switch {
		case e.IsDir():
			lines = append(lines, fmt.Sprintf("d %04o %q", e.Mode.Perm(), name))
		case e.IsLink():
			lines = append(lines, fmt.Sprintf("l %04o %q -> %q", e.Mode.Perm(), name, e.Target))
		default:
			r, err := e.Open()
			if err != nil {
				return lines, err
			}
			if _, ok := r.(*os.File); !ok {
				t.Errorf("Open of %q is a %T; want an *os.File", e.Path, r)
			}
			b, err := io.ReadAll(r)
			if err := errors.Join(err, r.Close()); err != nil {
				return lines, err
			}
			if int64(len(b)) != e.Size {
				t.Errorf("%q has %d bytes; want %d", e.Path, len(b), e.Size)
			}
			lines = append(lines, fmt.Sprintf("f %04o %q %q", e.Mode.Perm(), name, b))
		}
		if e.UID != 0 || e.GID != 0 {
			t.Errorf("%q is owned by %d:%d; want 0:0", e.Path, e.UID, e.GID)
		}
	}
	return lines, nil
}

// TestFiles checks that entries are canonical and in order.
func TestFiles(t *testing.T) {
	root := newRoot(t)
	at := func(name string) string { return root + string(pathOf(name)) }
	s := bare(t, root)

	mkdir(t, at("dir")+"/a/b/empty")
	mkdir(t, at("dir")+"/a-b")
	mkdir(t, at("dir")+"/a.b")
	write(t, at("dir")+"/a/file", "1")
	write(t, at("dir")+"/nothing", "")
	write(t, at("dir")+"/exec", "x")
	write(t, at("dir")+"/group", "x")
	write(t, at("dir")+"/setuid", "x")
	write(t, at("dir")+"/\xff\n\\ü", "odd")
	write(t, at("dir")+"/"+strings.Repeat("n", 255), "long")
	symlink(t, "../../../../../etc/passwd", at("dir")+"/out")
	symlink(t, "\xfe\n", at("dir")+"/link")
	symlink(t, strings.Repeat("t", 4095), at("dir")+"/long")
	if err := os.Link(at("dir")+"/exec", at("dir")+"/exec2"); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{
		"/exec": 0o700, "/group": 0o654, "/setuid": 0o755 | os.ModeSetuid | os.ModeSetgid, "/a": 0o777 | os.ModeSticky, "/a/file": 0o404,
	} {
		if err := os.Chmod(at("dir")+name, mode); err != nil {
			t.Fatal(err)
		}
	}
	write(t, at("file"), "content")
	symlink(t, string(pathOf("dir")), at("link"))
	mkdir(t, at("empty"))

	for _, test := range []struct {
		object string
		want   []string
	}{
		{"dir", []string{
			`d 0555 ""`,
			`d 0555 "a"`,
			`d 0555 "a/b"`,
			`d 0555 "a/b/empty"`,
			`f 0444 "a/file" "1"`,
			`d 0555 "a-b"`,
			`d 0555 "a.b"`,
			`f 0555 "exec" "x"`,
			`f 0555 "exec2" "x"`,
			`f 0444 "group" "x"`,
			`l 0777 "link" -> "\xfe\n"`,
			`l 0777 "long" -> "` + strings.Repeat("t", 4095) + `"`,
			`f 0444 "` + strings.Repeat("n", 255) + `" "long"`,
			`f 0444 "nothing" ""`,
			`l 0777 "out" -> "../../../../../etc/passwd"`,
			`f 0555 "setuid" "x"`,
			`f 0444 "\xff\n\\ü" "odd"`,
		}},
		{"file", []string{`f 0444 "" "content"`}},
		{"link", []string{`l 0777 "" -> "` + string(pathOf("dir")) + `"`}},
		{"empty", []string{`d 0555 ""`}},
	} {
		for range 2 { // a tree can be walked repeatedly
			got, err := lines(t, s, pathOf(test.object))
			if err != nil {
				t.Errorf("Files(%s): %v", test.object, err)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("Files(%s) (-want +got):\n%s", test.object, d)
			}
		}
	}
}

// TestBadFiles checks the errors for files that are missing, unreadable, of another kind, or replaced meanwhile.
func TestBadFiles(t *testing.T) {
	o := pathOf("p")
	for _, test := range []struct {
		name    string
		make    func(t *testing.T, at string)
		during  func(t *testing.T, at string, e rootfs.Entry) // called for each entry
		err     string                                        // after `read "/nix/store/<p>`
		is      error
		notRoot bool
	}{
		{name: "gone", make: func(*testing.T, string) {},
			err: `": missing in a registered object: the store is damaged, or the object was just garbage-collected: no such file or directory`, is: fs.ErrNotExist},
		{name: "named pipe", make: func(t *testing.T, at string) {
			mkdir(t, at)
			if err := syscall.Mkfifo(at+"/pipe", 0o644); err != nil {
				t.Fatal(err)
			}
		}, err: `/pipe": is a named pipe, which a store object cannot contain`},
		{name: "socket", make: func(t *testing.T, at string) {
			mkdir(t, at)
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			t.Chdir(at) // a socket's path must be short
			if err := unix.Bind(fd, &unix.SockaddrUnix{Name: "socket"}); err != nil {
				t.Fatal(err)
			}
		}, err: `/socket": is a socket, which a store object cannot contain`},
		{name: "object is a named pipe", make: func(t *testing.T, at string) {
			if err := syscall.Mkfifo(at, 0o644); err != nil {
				t.Fatal(err)
			}
		}, err: `": is a named pipe, which a store object cannot contain`},
		{name: "unreadable file", make: func(t *testing.T, at string) {
			mkdir(t, at)
			write(t, at+"/file", "x")
			os.Chmod(at+"/file", 0)
		}, err: `/file": permission denied`, is: fs.ErrPermission, notRoot: true},
		{name: "unreadable directory", make: func(t *testing.T, at string) {
			mkdir(t, at+"/dir")
			os.Chmod(at+"/dir", 0)
		}, err: `/dir": permission denied`, is: fs.ErrPermission, notRoot: true},
		{name: "file removed meanwhile", make: func(t *testing.T, at string) {
			mkdir(t, at)
			write(t, at+"/a", "x")
			write(t, at+"/b", "x")
		}, during: func(t *testing.T, at string, e rootfs.Entry) {
			os.Remove(at + "/b")
		}, err: `/b": missing in a registered object: the store is damaged, or the object was just garbage-collected: no such file or directory`, is: fs.ErrNotExist},
		{name: "file grew meanwhile", make: func(t *testing.T, at string) {
			mkdir(t, at)
			write(t, at+"/a", "x")
		}, during: func(t *testing.T, at string, e rootfs.Entry) {
			if e.IsRegular() {
				write(t, at+"/a", "longer")
			}
		}, err: `/a": changed while it was read: 6 bytes of 1`},
		{name: "file became a link", make: func(t *testing.T, at string) {
			mkdir(t, at)
			write(t, at+"/a", "x")
		}, during: func(t *testing.T, at string, e rootfs.Entry) {
			if e.IsRegular() {
				os.Remove(at + "/a")
				symlink(t, "/etc/passwd", at+"/a")
			}
		}, err: `/a": changed while it was read: too many levels of symbolic links`},
		{name: "file became a named pipe", make: func(t *testing.T, at string) {
			mkdir(t, at)
			write(t, at+"/a", "")
		}, during: func(t *testing.T, at string, e rootfs.Entry) {
			if e.IsRegular() {
				os.Remove(at + "/a")
				syscall.Mkfifo(at+"/a", 0o644)
			}
		}, err: `/a": changed while it was read`},
		{name: "directory became a link", make: func(t *testing.T, at string) {
			mkdir(t, at+"/a")
			mkdir(t, filepath.Dir(at)+"/outside")
			write(t, filepath.Dir(at)+"/outside/secret", "x")
		}, during: func(t *testing.T, at string, e rootfs.Entry) {
			if os.Remove(at+"/a") == nil {
				symlink(t, filepath.Dir(at)+"/outside", at+"/a")
			}
		}, err: `/a": changed while it was read: not a directory`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.notRoot && os.Getuid() == 0 {
				t.Skip("root may read everything")
			}
			root := newRoot(t)
			test.make(t, root+string(o))
			if test.during == nil {
				test.during = func(*testing.T, string, rootfs.Entry) {}
			}
			err := func() error {
				for e, err := range rootfs.Check(o.Root(), bare(t, root).Files(t.Context(), o)) {
					if err != nil {
						return err
					}
					test.during(t, root+string(o), e)
					if e.IsRegular() {
						r, err := e.Open()
						if err != nil {
							return err
						}
						r.Close()
					}
				}
				return nil
			}()
			want := `read "` + string(o) + test.err
			if err == nil || err.Error() != want || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("Files = %v; want %s", err, want)
			}
		})
	}
}

// TestLateOpen checks that a file cannot be opened after the walk moved on.
func TestLateOpen(t *testing.T) {
	root := newRoot(t)
	o := pathOf("p")
	mkdir(t, root+string(o)+"/d")
	write(t, root+string(o)+"/d/a", "a")
	write(t, root+string(o)+"/e", "e")
	var last *rootfs.Entry
	late := func() {
		if last == nil {
			return
		}
		if r, err := last.Open(); err == nil {
			r.Close()
			t.Errorf("Open of %q succeeded after the walk moved on", last.Path)
		}
	}
	for e, err := range bare(t, root).Files(t.Context(), o) {
		if err != nil {
			t.Fatal(err)
		}
		late()
		if e.IsRegular() {
			last = &e
		}
	}
	late()
}

// TestDeep checks that a deep object needs few file descriptors, and that depth is limited.
func TestDeep(t *testing.T) {
	root := newRoot(t)
	o := pathOf("p")
	// The whole path is too long for one system call.
	mkdir(t, root+string(o))
	fd, err := unix.Open(root+string(o), unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	deeper := func() {
		if err := unix.Mkdirat(fd, "directory", 0o755); err != nil {
			t.Fatal(err)
		}
		if f, err := unix.Openat(fd, "z", unix.O_CREAT|unix.O_WRONLY, 0o644); err != nil {
			t.Fatal(err)
		} else {
			unix.Close(f)
		}
		next, err := unix.Openat(fd, "directory", unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		fd = next
	}
	for range rootfs.MaxDepth {
		deeper()
	}
	s := bare(t, root)
	n, most := 0, 0
	for _, err := range rootfs.Check(o.Root(), s.Files(t.Context(), o)) {
		if err != nil {
			t.Fatalf("entry %d: %v", n, err)
		}
		if n++; n%100 == 0 {
			open, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Fatal(err)
			}
			most = max(most, len(open))
		}
	}
	if want := 2*rootfs.MaxDepth + 1; n != want {
		t.Errorf("%d entries; want %d", n, want)
	}
	if most > maxOpen+50 {
		t.Errorf("%d open files; want about %d", most, maxOpen)
	}
	deeper()
	unix.Close(fd)
	for _, err = range s.Files(t.Context(), o) {
	}
	if err == nil || !strings.Contains(err.Error(), "deeper than 1024 directories") {
		t.Errorf("Files of a deeper tree = %v; want an error", err)
	}
}

// TestHugeDirectory checks the order of a directory that getdents returns in several pieces.
func TestHugeDirectory(t *testing.T) {
	root := newRoot(t)
	o := pathOf("p")
	mkdir(t, root+string(o))
	const n = 1000 // more than fit into a buffer
	for i := range n {
		symlink(t, "x", fmt.Sprintf("%s/%d-%s", root+string(o), i*7919%n, strings.Repeat("n", 30)))
	}
	got := 0
	for _, err := range rootfs.Check(o.Root(), bare(t, root).Files(t.Context(), o)) {
		if err != nil {
			t.Fatal(err)
		}
		got++
	}
	if got != n+1 {
		t.Errorf("%d entries; want %d", got, n+1)
	}
}

// TestNoDescriptorsLeft checks that walks which end early close their files.
func TestNoDescriptorsLeft(t *testing.T) {
	root := newRoot(t)
	o := pathOf("p")
	mkdir(t, root+string(o)+strings.Repeat("/d", 2*maxOpen))
	s := bare(t, root)
	count := func() int {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(open)
	}
	before := count()
	for stop := range 2*maxOpen + 2 {
		n := 0
		for range s.Files(t.Context(), o) {
			if n++; n > stop {
				break
			}
		}
	}
	if after := count(); after > before+5 {
		t.Errorf("%d open files, %d before", after, before)
	}
}

// TestVerified checks that a changed object in a relocated store is an error.
func TestVerified(t *testing.T) {
	root, conn := newDB(t)
	o := pathOf("p")
	mkdir(t, root+string(o))
	write(t, root+string(o)+"/file", "right")
	hash, size, err := nar.Sum(bare(t, root).Files(t.Context(), o), o.Root())
	if err != nil {
		t.Fatal(err)
	}
	sql(t, conn, add("p"))
	sql(t, conn, fmt.Sprintf(`update ValidPaths set hash = 'sha256:%s', narSize = %d`, hash.Hex(), size))
	s, err := Open(t.Context(), root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := storetest.List(s.Files(t.Context(), o)); err != nil {
		t.Errorf("Files: %v", err)
	}
	write(t, root+string(o)+"/file", "wrong")
	_, err = storetest.List(s.Files(t.Context(), o))
	if wrong := new(nar.HashError); !errors.As(err, &wrong) {
		t.Errorf("Files of a changed object: %v; want a HashError", err)
	}
}

// FuzzParseDirent checks that a parsed record lies within the buffer and has a valid name.
func FuzzParseDirent(f *testing.F) {
	dir := f.TempDir()
	mkdir(f, dir+"/sub")
	write(f, dir+"/file", "")
	fd, err := unix.Open(dir, unix.O_DIRECTORY, 0)
	if err != nil {
		f.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := unix.Getdents(fd, buf)
	if err != nil {
		f.Fatal(err)
	}
	unix.Close(fd)
	f.Add(buf[:n])
	f.Add([]byte{})
	f.Add(make([]byte, 24))
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			name, _, size := parseDirent(b)
			if size == 0 {
				return
			}
			if len(name) == 0 || len(name) > size || strings.IndexByte(string(name), 0) >= 0 {
				t.Errorf("parseDirent(%q) = %q, %d", b, name, size)
			}
			b = b[size:]
		}
	})
}

// BenchmarkWalk compares a walk with filepath.WalkDir, which neither opens directories by descriptor nor reads links.
func BenchmarkWalk(b *testing.B) {
	root := newRoot(b)
	o := pathOf("p")
	n := 0
	for i := range 500 {
		dir := fmt.Sprintf("%s/lib/python/site-packages/package%d/sub%d", root+string(o), i/10, i%10)
		mkdir(b, dir)
		for j := range 40 {
			write(b, fmt.Sprintf("%s/module_%d.py", dir, j), "pass\n")
			n++
		}
		symlink(b, "module_0.py", dir+"/link")
	}
	s := bare(b, root)
	b.Run("Files", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			files := 0
			for e, err := range s.Files(b.Context(), o) {
				if err != nil {
					b.Fatal(err)
				}
				if e.IsRegular() {
					files++
				}
			}
			if files != n {
				b.Fatalf("%d files; want %d", files, n)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/file")
	})
	b.Run("WalkDir", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			files := 0
			err := filepath.WalkDir(root+string(o), func(name string, d fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				if d.Type().IsRegular() {
					if _, err := d.Info(); err != nil {
						return err
					}
					files++
				}
				return nil
			})
			if err != nil || files != n {
				b.Fatalf("%d files, %v; want %d", files, err, n)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/file")
	})
}
