package localstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/exportstore"
	"github.com/export-profile/export-profile/profile/input"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
)

// TestGolden runs the tests of package storetest on a relocated copy of the golden closure.
func TestGolden(t *testing.T) {
	export, err := os.Open(storetest.File(t, "basic.nix-export"))
	if err != nil {
		t.Fatal(err)
	}
	defer export.Close()
	in, err := input.Open(t.Context(), export, input.Options{SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	from, err := exportstore.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	root := filepath.Join(t.TempDir(), "root")
	var parts []rootfs.Part
	var script strings.Builder
	for _, info := range storetest.GoldenInfos(t) {
		parts = append(parts, rootfs.Part{Name: info.Path.Base(), Root: info.Path.Root(), Tree: from.Files(t.Context(), info.Path)})
		fmt.Fprintf(&script, "insert into ValidPaths (path, hash, registrationTime, narSize, deriver) values ('%s', 'sha256:%s', 1, %d, nullif('%s', ''));\n",
			info.Path, info.NarHash.Hex(), info.NarSize, info.Deriver)
	}
	for _, info := range storetest.GoldenInfos(t) {
		for _, ref := range info.References {
			fmt.Fprintf(&script, "insert into Refs select r.id, o.id from ValidPaths r, ValidPaths o where r.path = '%s' and o.path = '%s';\n", info.Path, ref)
		}
	}
	if err := rootfs.WriteDir(t.Context(), root, parts, rootfs.DirOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the directories of a store are read-only
		filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if d.IsDir() {
				os.Chmod(name, 0o755)
			}
			return nil
		})
	})
	mkdir(t, filepath.Dir(root+"/nix/var/nix/db/db.sqlite"))
	write(t, filepath.Dir(root+"/nix/var/nix/db/db.sqlite")+"/schema", "10")
	conn := connect(t, root, "")
	sql(t, conn, tables)
	sql(t, conn, script.String())

	for name, o := range map[string]Options{"zero options": {}, "verify": {Verify: true}} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), root, o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			storetest.Golden(t, s)
		})
	}
}

// TestInfo checks Info for good and invalid rows. An invalid row must not affect the others.
func TestInfo(t *testing.T) {
	root, conn := newDB(t)
	sql(t, conn, add("a", "b: a", "nosize", "zerosize", "badhash", "md5", "nohash", "lost", "odd", "deriver", "badderiver", "badref: odd"))
	sql(t, conn, fmt.Sprintf(`
		update ValidPaths set narSize = null where path = '%s';
		update ValidPaths set narSize = 0 where path = '%s';
		update ValidPaths set hash = 'sha256:%s' where path = '%s';
		update ValidPaths set hash = 'md5:d41d8cd98f00b204e9800998ecf8427e' where path = '%s';
		update ValidPaths set hash = 'sha256:%064d' where path = '%s';
		update ValidPaths set path = '/nix/store/odd' where path = '%s';
		update ValidPaths set deriver = '%s.drv' where path = '%s';
		update ValidPaths set deriver = 'unknown-deriver' where path = '%s';
		pragma foreign_keys = off;
		insert into Refs select id, 4711 from ValidPaths where path = '%s';
		insert into Refs select id, id from ValidPaths where path = '%s'`,
		pathOf("nosize"), pathOf("zerosize"), strings.Repeat("x", 64), pathOf("badhash"), pathOf("md5"), 0, pathOf("nohash"),
		pathOf("odd"), pathOf("d"), pathOf("deriver"), pathOf("badderiver"), pathOf("lost"), pathOf("b")))
	for _, name := range []string{"a", "b", "deriver", "badderiver", "unregistered"} {
		write(t, root+string(pathOf(name)), "")
	}
	s, err := Open(t.Context(), root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	plain := func(name string, refs ...profile.Path) *profile.Info {
		return &profile.Info{Path: pathOf(name), NarHash: profile.Hash{31: 1}, NarSize: 120, References: refs}
	}
	deriver := plain("deriver")
	deriver.Deriver = pathOf("d") + ".drv"
	for _, test := range []struct {
		path   profile.Path
		want   *profile.Info
		err    string
		absent bool
	}{
		{path: pathOf("a"), want: plain("a")},
		{path: pathOf("b"), want: plain("b", pathOf("a"), pathOf("b"))},
		{path: pathOf("deriver"), want: deriver},
		{path: pathOf("badderiver"), want: plain("badderiver")},
		{path: pathOf("nosize"), err: `store path "PATH": the database does not contain its NAR size`},
		{path: pathOf("zerosize"), err: `store path "PATH": the database does not contain its NAR size`},
		{path: pathOf("badhash"), err: `store path "PATH": in the database: hash "sha256:` + strings.Repeat("x", 64) + `": not hexadecimal`},
		{path: pathOf("md5"), err: `store path "PATH": in the database: hash "md5:d41d8cd98f00b204e9800998ecf8427e": not a SHA-256`},
		{path: pathOf("nohash"), err: `store path "PATH": in the database: NAR hash is zero`},
		{path: pathOf("lost"), err: `store path "PATH": damaged database: the object refers to object 4711, which does not exist`},
		{path: pathOf("badref"), err: `store path "PATH": reference: store path "/nix/store/odd": does not begin with a hash of 32 characters and a dash`},
		{path: pathOf("unregistered"), err: `store path "PATH" is in the store directory but not in the database: unfinished or garbage`, absent: true},
		{path: pathOf("nothing"), err: `store path "PATH" is not in the store`, absent: true},
		{path: "/nix/store/../../etc/passwd", err: `store path "PATH": does not begin with a hash of 32 characters and a dash`},
		{path: "", err: `store path "PATH": does not begin with a hash of 32 characters and a dash`},
	} {
		got, err := s.Info(t.Context(), test.path)
		if test.err == "" {
			if d := cmp.Diff(test.want, got); d != "" || err != nil {
				t.Errorf("Info(%q): %v (-want +got):\n%s", test.path, err, d)
			}
			continue
		}
		want := strings.ReplaceAll(test.err, "PATH", string(test.path))
		if err == nil || err.Error() != want || errors.Is(err, fs.ErrNotExist) != test.absent {
			t.Errorf("Info(%q) = %v, %v; want %s, not-exist %v", test.path, got, err, want, test.absent)
		}
		if lines, err := storetest.List(s.Files(t.Context(), test.path)); err == nil {
			t.Errorf("Files(%q) = %q; want an error", test.path, lines)
		}
	}
	paths, err := s.Paths(t.Context())
	if err != nil || len(paths) != 11 {
		t.Errorf("Paths() = %q, %v; want 11", paths, err)
	}
}

// TestNoDatabase checks a store that is opened without a database.
func TestNoDatabase(t *testing.T) {
	root := newRoot(t)
	write(t, root+string(pathOf("a")), "content")
	if _, err := Open(t.Context(), root, Options{}); !errors.Is(err, ErrNoDatabase) {
		t.Errorf("Open = %v; want %v", err, ErrNoDatabase)
	}
	s := bare(t, root)
	if info, err := s.Info(t.Context(), pathOf("a")); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Info = %v, %v; want an error that is not fs.ErrNotExist", info, err)
	}
	write(t, root+"/nix/store/.links", "")
	if paths, err := s.Paths(t.Context()); err != nil || !slices.Equal(paths, []profile.Path{pathOf("a")}) {
		t.Errorf("Paths = %q, %v; want only names of objects", paths, err)
	}
	if got, err := lines(t, s, pathOf("a")); err != nil || len(got) != 1 {
		t.Errorf("Files = %q, %v", got, err)
	}
	for _, p := range []profile.Path{"/nix/store/..", "/nix/store/.", "/nix/store/", "/nix/store/../../etc"} {
		if _, err := storetest.List(s.Files(t.Context(), p)); err == nil {
			t.Errorf("Files(%q) succeeded; want an error", p)
		}
	}
}

// TestCancelAndClose checks that a cancelled context ends a walk, and that a closed store returns errors.
func TestCancelAndClose(t *testing.T) {
	root := newRoot(t)
	mkdir(t, root+string(pathOf("a"))+"/d")
	s := bare(t, root)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("no longer needed")
	defer cancel(nil)
	n := 0
	var last error
	for _, err := range s.Files(ctx, pathOf("a")) {
		cancel(why)
		n, last = n+1, err
	}
	if n != 2 || !errors.Is(last, why) {
		t.Errorf("cancelled walk: %d entries, %v; want one and %v", n, last, why)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := storetest.List(s.Files(t.Context(), pathOf("a"))); err == nil {
		t.Error("Files of a closed store succeeded; want an error")
	}
}

// FuzzLoad checks that load never panics and that its snapshots can be used.
func FuzzLoad(f *testing.F) {
	root := newRoot(f)
	conn := connect(f, root, "")
	sql(f, conn, `pragma page_size = 512`)
	sql(f, conn, `create table ValidPaths (id integer primary key, path text, hash text, narSize integer, deriver text)`)
	sql(f, conn, `create table Refs (referrer integer, reference integer)`)
	sql(f, conn, `insert into ValidPaths values (1, '`+string(pathOf("a"))+`', 'sha256:00', 1, null), (2, 'x', 'y', 'z', 'w')`)
	sql(f, conn, `insert into Refs values (1, 1), (1, 2), (1, 3), (4, 1)`)
	b, err := os.ReadFile(root + "/nix/var/nix/db/db.sqlite")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{})
	f.Add([]byte("SQLite format 3\x00"))
	file := filepath.Join(f.TempDir(), "db.sqlite")
	f.Fuzz(func(t *testing.T, b []byte) {
		write(t, file, string(b))
		s, err := load(t.Context(), file, false, true)
		if err != nil {
			return
		}
		for _, p := range s.paths() {
			o, _ := s.find(p)
			s.info(o)
		}
	})
}
