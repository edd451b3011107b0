package startup

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/testrun"
)

// zeros is a file without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestHostileAccounts checks that an image whose account files are no files, or huge, is checked like any other,
// in little memory.
func TestHostileAccounts(t *testing.T) {
	lines := testrun.Of(2_000_000, 10_000_000)
	if testrun.Race {
		lines /= 20
	}
	sized := func(line string, size int64) rootfs.Entry {
		return rootfs.File("etc/passwd", 0o644, size, func() (io.ReadCloser, error) {
			if line == "\x00" {
				return io.NopCloser(io.LimitReader(zeros{}, size)), nil
			}
			return io.NopCloser(strings.NewReader(strings.Repeat(line, int(size)/len(line)))), nil
		})
	}
	for _, test := range []struct {
		name   string
		passwd rootfs.Entry
		other  bool
		found  bool
	}{
		{"link to the host", rootfs.Link("etc/passwd", "../../../../../../etc/passwd"), false, false},
		{"link to itself", rootfs.Link("etc/passwd", "passwd"), false, false},
		{"link to a file", rootfs.Link("etc/passwd", "/usr/lib/passwd"), false, true},
		{"link to a directory", rootfs.Link("etc/passwd", "/usr"), false, false},
		{"directory", rootfs.Dir("etc/passwd", 0o755), false, false},
		{"device or pipe", rootfs.File("etc/passwd", 0o644, 0, nil), true, false},
		{"a gigabyte", sized("\x00", int64(testrun.Of(96<<20, 1<<30))), false, false},
		{"many empty lines", sized("\n", int64(lines)), false, false},
		{"many short lines", sized(":::\n", int64(4*lines)), false, false},
		{"one line of colons", sized(":", int64(4*lines)), false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			lower := rootfs.NewLower("")
			entries := append(fileSet{"usr/lib/passwd": data("app:x:7:8::/:/bin/sh\n")}.entries(t), rootfs.Dir("etc", 0o755), test.passwd)
			for _, e := range entries {
				put := rootfs.LowerEntry{Entry: e, Other: test.other && e.Path == "etc/passwd"}
				if e.IsRegular() && !put.Other {
					put.Source = e.Path
				}
				if err := lower.Put(put); err != nil {
					t.Fatal(err)
				}
			}
			regular := func(yield func(rootfs.Entry, error) bool) {
				for _, e := range entries {
					if e.IsRegular() && e.Open != nil && !yield(e, nil) {
						return
					}
				}
			}
			image := &Image{Config: Config{User: "app"}, Lower: lower, LowerSources: []Source{{Name: "layer", Tree: regular}}}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r, err := Check(t.Context(), image, Options{})
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Fatal(err)
			}
			if unknown := strings.Contains(strings.Join(problemTexts(r), "\n"), `no user "app"`); unknown == test.found {
				t.Errorf("problems: %q; want the user found: %v", problemTexts(r), test.found)
			}
			n, most := after.TotalAlloc-before.TotalAlloc, 16<<20+10*uint64(min(test.passwd.Size, maxRead))
			t.Logf("%d MiB of %d", n>>20, most>>20)
			if n > most {
				t.Errorf("Check allocates %d MiB in all, garbage included; want at most %d", n>>20, most>>20)
			}
		})
	}
}

// TestLongLists checks that the files of an image that list libraries or directories count up to a limit.
func TestLongLists(t *testing.T) {
	const lines = 50_000
	var b strings.Builder
	for i := range lines {
		fmt.Fprintf(&b, "/%d\n", i)
	}
	for name, files := range map[string]fileSet{
		"libraries to preload": glibc.with(fileSet{"bin/p": program("libc.so.6"), "etc/ld.so.preload": data(b.String())}),
		"musl's directories":   muslRoot.with(fileSet{"bin/p": musl("liba.so"), "etc/ld-musl-x86_64.path": data(b.String())}),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := files.check(t, Config{Env: []string{"PATH=/bin"}})
		runtime.ReadMemStats(&after)
		if n := len(r.Errors) + len(r.Warnings); n > maxPreload+1 {
			t.Errorf("%s: %d problems; want at most %d", name, n, maxPreload+1)
		}
		if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 10 {
			t.Errorf("%s: Check allocates %d MiB in all, garbage included; want at most 10", name, n)
		}
	}
}

func problemTexts(r *Report) (all []string) {
	for _, p := range append(r.Errors, r.Warnings...) {
		all = append(all, p.String())
	}
	return all
}
