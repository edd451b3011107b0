package tarstore

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/exportstore"
	"github.com/export-profile/export-profile/profile/input"
	"github.com/export-profile/export-profile/profile/references"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/staging"
)

const (
	objA = "nix/store/00000000000000000000000000000000-a"
	objB = "nix/store/11111111111111111111111111111111-b"

	pathA profile.Path = "/" + objA
	pathB profile.Path = "/" + objB
)

// member is an entry of an archive. pack sets its size to the length of the content.
type member struct {
	tar.Header
	content string
}

func dir(name string) member {
	return member{Header: tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}}
}

func reg(name, content string) member {
	return member{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, content}
}

func exe(name, content string) member {
	return member{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755}, content}
}

func sym(name, target string) member {
	return member{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}}
}

func hard(name, target string) member {
	return member{Header: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o600}}
}

func special(flag byte, name string) member {
	return member{Header: tar.Header{Typeflag: flag, Name: name, Mode: 0o644}}
}

// pack writes a complete archive.
func pack(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		m.Size = int64(len(m.content))
		if err := w.WriteHeader(&m.Header); err != nil {
			t.Fatalf("write %q: %v", m.Name, err)
		}
		if _, err := io.WriteString(w, m.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func openBytes(t testing.TB, archive []byte, o Options) (*Store, error) {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(archive); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), f, o)
	if err != nil {
		f.Close()
		return nil, err
	}
	t.Cleanup(func() { s.Close() })
	return s, nil
}

func openPipe(t testing.TB, archive []byte, o Options) (*Store, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer w.Close()
		_, _ = w.Write(archive) // fails if the reader closes early
	}()
	s, err := Open(t.Context(), r, o)
	if err != nil {
		r.Close()
		return nil, err
	}
	t.Cleanup(func() { s.Close() })
	return s, nil
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(b)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

func goldenExport(t testing.TB) *exportstore.Store {
	t.Helper()
	f, err := os.Open(storetest.File(t, "basic.nix-export"))
	if err != nil {
		t.Fatal(err)
	}
	in, err := input.Open(t.Context(), f, input.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := exportstore.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func goldenInfos(t testing.TB) []*profile.Info {
	t.Helper()
	f, err := os.Open(storetest.File(t, "basic.registration"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	infos, err := references.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	return infos
}

// members converts the entries of store objects to members of an archive, with a prefix before their names.
func members(t testing.TB, s profile.Store, prefix string, paths []profile.Path) []member {
	t.Helper()
	var all []member
	for _, p := range paths {
		for e, err := range s.Files(t.Context(), p) {
			if err != nil {
				t.Fatal(err)
			}
			m := member{Header: tar.Header{Name: prefix + e.Path, Mode: int64(e.Mode.Perm()), Linkname: e.Target}}
			switch {
			case e.IsDir():
				m.Typeflag = tar.TypeDir
				m.Name += "/"
			case e.IsLink():
				m.Typeflag = tar.TypeSymlink
			default:
				m.Typeflag = tar.TypeReg
				r, err := e.Open()
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(r)
				if err != nil {
					t.Fatal(err)
				}
				m.content = string(b)
				r.Close()
			}
			all = append(all, m)
		}
	}
	return all
}

// goldenTar returns an archive of the golden closure.
func goldenTar(t testing.TB, prefix string) []byte {
	t.Helper()
	s := goldenExport(t)
	paths, err := s.Paths(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return pack(t, members(t, s, prefix, paths)...)
}

// writeDir writes the golden closure as a root directory.
func writeDir(t testing.TB) string {
	t.Helper()
	c, err := profile.FindClosure(t.Context(), goldenExport(t), storetest.GoldenProfile)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "root")
	t.Cleanup(func() { _ = staging.RemoveAll(dir) })
	if err := rootfs.WriteDir(context.Background(), dir, c.Parts(t.Context()), rootfs.DirOptions{}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// archive packs a directory like `tar -C dir .`.
func archive(t testing.TB, dir string, format tar.Format) []byte {
	t.Helper()
	var all []member
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		var target string
		if fi.Mode().Type() == fs.ModeSymlink {
			if target, err = os.Readlink(name); err != nil {
				return err
			}
		}
		h, err := tar.FileInfoHeader(fi, target)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		h.Name, h.Format = "./"+rel, format
		m := member{Header: *h}
		if fi.Mode().IsRegular() {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			m.content = string(b)
		} else if fi.IsDir() {
			m.Name += "/"
		}
		all = append(all, m)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// Unsorted, like a directory on disk.
	slices.Reverse(all)
	return pack(t, all...)
}
