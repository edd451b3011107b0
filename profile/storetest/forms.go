package storetest

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// This file writes samples in the forms that Nix and tar write. The end-to-end tests read forms that Nix itself wrote.

// WriteExport writes an export stream and returns its name.
func (s *Sample) WriteExport(t testing.TB) string {
	t.Helper()
	return writeStream(t, s.Name+".export", s.Export)
}

// Export writes an export stream without buffering it.
func (s *Sample) Export(w io.Writer) error {
	number := func(b []byte, n int) []byte { return binary.LittleEndian.AppendUint64(b, uint64(n)) }
	str := func(b []byte, s string) []byte {
		return append(append(number(b, len(s)), s...), make([]byte, -len(s)&7)...)
	}
	for _, info := range s.Infos {
		if _, err := w.Write(number(nil, 1)); err != nil {
			return err
		}
		if err := nar.Write(w, s.trees[info.Path], info.Path.Root()); err != nil {
			return err
		}
		b := number(str(number(nil, 0x4558494e), string(info.Path)), len(info.References))
		for _, r := range info.References {
			b = str(b, string(r))
		}
		if _, err := w.Write(number(str(b, string(info.Deriver)), 0)); err != nil {
			return err
		}
	}
	_, err := w.Write(number(nil, 0))
	return err
}

// WriteRegistration writes a file like nix-store --dump-db and closureInfo or, without hashes, like exportReferencesGraph.
func (s *Sample) WriteRegistration(t testing.TB, hashes bool) string {
	t.Helper()
	var b bytes.Buffer
	for _, info := range s.Infos {
		fmt.Fprintln(&b, info.Path)
		if hashes {
			fmt.Fprintf(&b, "%s\n%d\n", info.NarHash, info.NarSize)
		}
		fmt.Fprintf(&b, "%s\n%d\n", info.Deriver, len(info.References))
		for _, r := range info.References {
			fmt.Fprintln(&b, r)
		}
	}
	return writeFile(t, "registration", b.Bytes())
}

// WritePathInfo writes a file like nix path-info --json --json-format 2.
func (s *Sample) WritePathInfo(t testing.TB) string {
	t.Helper()
	type row struct {
		NarHash    string   `json:"narHash"`
		NarSize    int64    `json:"narSize"`
		References []string `json:"references"`
	}
	rows := make(map[string]row)
	for _, info := range s.Infos {
		r := row{NarHash: info.NarHash.String(), NarSize: info.NarSize, References: []string{}}
		for _, ref := range info.References {
			r.References = append(r.References, ref.Base())
		}
		rows[info.Path.Base()] = r
	}
	b, err := json.Marshal(map[string]any{"version": 2, "storeDir": s.Dir.String(), "info": rows})
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, "path-info.json", b)
}

// WriteRoot writes a root directory with a store but no database.
func (s *Sample) WriteRoot(t testing.TB) string {
	t.Helper()
	var parts []rootfs.Part
	for _, info := range s.Infos {
		parts = append(parts, rootfs.Part{Name: info.Path.Base(), Root: info.Path.Root(), Size: info.NarSize, Tree: s.trees[info.Path]})
	}
	dir := filepath.Join(t.TempDir(), "root")
	t.Cleanup(func() { _ = staging.RemoveAll(dir) }) // read-only directories
	if err := rootfs.WriteDir(t.Context(), dir, parts, rootfs.DirOptions{}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// WriteTar writes a tar of the root directory, and returns its name.
func (s *Sample) WriteTar(t testing.TB) string {
	t.Helper()
	return writeStream(t, s.Name+".tar", s.Tar)
}

// Tar writes a tar like GNU tar: with owners, times and a leading "./".
// Files with the same content become hard links, as in an optimised store. It does not buffer large files.
func (s *Sample) Tar(to io.Writer) error {
	w := tar.NewWriter(to)
	first := make(map[string]string)
	for _, info := range s.Infos {
		for e, err := range s.trees[info.Path] {
			if err == nil {
				err = addToTar(w, e, first)
			}
			if err != nil {
				return err
			}
		}
	}
	return w.Close()
}

// addToTar adds an entry, or a hard link to an equal file in first.
func addToTar(w *tar.Writer, e rootfs.Entry, first map[string]string) error {
	h := &tar.Header{
		Name: "./" + e.Path, Mode: int64(e.Mode.Perm()), Uid: 1000, Gid: 100, Uname: "someone",
		ModTime: time.Unix(1700000000, 0), Size: e.Size, Linkname: e.Target, Format: tar.FormatGNU,
	}
	switch {
	case e.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
	case e.IsLink():
		h.Typeflag = tar.TypeSymlink
	default:
		h.Typeflag = tar.TypeReg
	}
	if h.Typeflag != tar.TypeReg {
		return w.WriteHeader(h)
	}
	r, err := e.Open() // some files can be opened only once
	if err != nil {
		return err
	}
	defer r.Close()
	var content bytes.Buffer
	if e.Size < 16<<20 {
		if _, err := content.ReadFrom(r); err != nil {
			return err
		}
		key := fmt.Sprint(e.Mode, content.String())
		if name, ok := first[key]; ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, name, 0
			return w.WriteHeader(h)
		}
		first[key] = h.Name
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(w, io.MultiReader(&content, r))
	return err
}

func writeStream(t testing.TB, name string, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return writeFile(t, name, b.Bytes())
}

func writeFile(t testing.TB, name string, b []byte) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}
