package rootfs_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/rootfs"
)

// TestLowerDeep: directories that are missing take no more memory than the path that they are missing in.
func TestLowerDeep(t *testing.T) {
	l := rootfs.NewLower("")
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := used()
	for i := range 4 {
		path := fmt.Sprint(i) + strings.Repeat("/"+strings.Repeat("d", rootfs.MaxName), 1000)
		if err := l.Put(rootfs.LowerEntry{Entry: rootfs.File(path, 0o644, 0, nil)}); err != nil {
			t.Fatal(err)
		}
	}
	if after := used(); after > before+16<<20 {
		t.Errorf("four files in 1000 directories take %d bytes; want at most 16 MiB", after-before)
	}
	if _, ok := l.Lookup("3/" + strings.Repeat("d", rootfs.MaxName)); !ok {
		t.Error("the directories are not there")
	}
	runtime.KeepAlive(l)
}

// TestLowerLongPaths: a link makes short paths long, and they have a limit.
func TestLowerLongPaths(t *testing.T) {
	l := rootfs.NewLower("")
	deep := "a" + strings.Repeat("/"+strings.Repeat("d", rootfs.MaxName), 1000)
	err := l.Put(rootfs.LowerEntry{Entry: rootfs.Dir(deep, 0o755)})
	for i := 0; err == nil && i < 1000; i++ {
		if i == 0 {
			err = l.Put(rootfs.LowerEntry{Entry: rootfs.Link("l", deep)})
		}
		if err == nil {
			err = l.Put(rootfs.LowerEntry{Entry: rootfs.Link(fmt.Sprintf("l/%d", i%10), "x")})
		}
	}
	if err != nil {
		t.Fatalf("within the limit: %v", err)
	}
	for i := 0; err == nil && i < 100; i++ {
		err = l.Put(rootfs.LowerEntry{Entry: rootfs.Link(fmt.Sprintf("l/%d", i), "x")})
	}
	if err == nil || !strings.Contains(err.Error(), "paths of more than") {
		t.Errorf("paths of 275 MB: %v; want an error", err)
	}
}
