package rootfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

func TestDiskUse(t *testing.T) {
	l := rootfstest.Lower(t,
		"d 0755 bin", "l bin/sh -> ../usr/bin/dash", "l bin/self -> .", "l bin/gone -> nowhere", "l bin/loop -> loop",
		"d 0755 usr", "d 0755 usr/bin", "f 0755 usr/bin/dash 12345", "f 0755 usr/bin/ls 123",
		"l usr/share -> /data", "d 0755 data", "f 0644 data/a 1", "l data/up -> ..")
	for _, tt := range []struct {
		places []string
		want   string
		total  int64
		lost   string
		is     error
	}{
		{[]string{""}, "/bin/sh 5; /bin/ 5; /data/a 1; /data/ 1; /usr/bin/ls 3; /usr/bin/ 3; /usr/ 3; / 9", 9, "bin/gone bin/loop", nil},
		{[]string{"usr"}, "/usr/bin/dash 5; /usr/bin/ls 3; /usr/bin/ 8; /usr/share/a 1; /usr/share/up/bin/ 0; /usr/share/up/ 0; /usr/share/ 1; /usr/ 9", 9, "usr/share/up/bin/gone usr/share/up/bin/loop", nil},
		{[]string{"usr/bin", "bin/sh"}, "/usr/bin/dash 5; /usr/bin/ls 3; /usr/bin/ 8", 8, "", nil},
		{[]string{"bin/sh", "usr/bin"}, "/bin/sh 5; /usr/bin/ls 3; /usr/bin/ 3", 8, "", nil},
		{[]string{"bin/gone"}, "", 0, "", fs.ErrNotExist},
		{[]string{"none"}, "", 0, "", fs.ErrNotExist},
	} {
		var got, lost []string
		total, err := l.DiskUse(tt.places, func(u rootfs.DiskUse) error {
			slash := ""
			if u.Dir && u.Path != "" {
				slash = "/"
			}
			got = append(got, fmt.Sprintf("/%s%s %d", u.Path, slash, u.Size))
			return nil
		}, func(path string) { lost = append(lost, path) })
		if total != tt.total || !errors.Is(err, tt.is) || strings.Join(lost, " ") != tt.lost {
			t.Errorf("%q: %d, lost %q, %v; want %d, %q, %v", tt.places, total, lost, err, tt.total, tt.lost, tt.is)
		}
		if diff := cmp.Diff(tt.want, strings.Join(got, "; ")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.places, diff)
		}
	}
	failed := errors.New("failed")
	if _, err := l.DiskUse([]string{""}, func(rootfs.DiskUse) error { return failed }, func(string) {}); err != failed {
		t.Errorf("DiskUse with a visit that fails = %v; want %v", err, failed)
	}
}

// TestDiskUseDeep checks that links that lead back and forth end at the longest possible path.
func TestDiskUseDeep(t *testing.T) {
	l := rootfs.NewLower("")
	for i := range rootfs.MaxPathDepth + 10 {
		dir := fmt.Sprintf("d%d", i)
		for _, e := range []rootfs.Entry{rootfs.Dir(dir, 0o755), rootfs.Link(dir+"/next", fmt.Sprintf("../d%d", i+1))} {
			if err := l.Put(rootfs.LowerEntry{Entry: e}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := l.DiskUse([]string{"d0"}, func(rootfs.DiskUse) error { return nil }, func(string) {}); !errors.Is(err, rootfs.ErrDeep) {
		t.Errorf("DiskUse = %v; want %v", err, rootfs.ErrDeep)
	}
}
