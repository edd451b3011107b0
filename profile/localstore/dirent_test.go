package localstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/rootfs/testrun"
)

// TestManyEntries checks that a large directory is listed in order, and takes little more memory than its names.
func TestManyEntries(t *testing.T) {
	dir := t.TempDir()
	count, length := testrun.Of(20_000, 200_000), 0
	want := make([]string, 0, count)
	for i := range count {
		name := fmt.Sprintf("%x-%d", i*7919%count, i)
		if i%5000 == 0 {
			name = fmt.Sprintf("%0255d", i)
		}
		if err := os.WriteFile(dir+"/"+name, nil, 0o444); err != nil {
			t.Fatal(err)
		}
		want, length = append(want, name), length+len(name)
	}
	slices.Sort(want)
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	l, err := list(int(d.Fd()), make([]byte, 32<<10))
	if err != nil {
		t.Fatal(err)
	}
	if len(l.order) != count {
		t.Fatalf("%d entries; want %d", len(l.order), count)
	}
	for i := range want {
		if name, kind := l.at(i); string(name) != want[i] || kind != unix.DT_REG && kind != unix.DT_UNKNOWN {
			t.Fatalf("entry %d is %q of kind %d; want %q", i, name, kind, want[i])
		}
	}
	held := 4 * cap(l.order)
	for _, chunk := range l.chunks {
		held += cap(chunk)
	}
	if most := length + 6*count + 2*chunkSize; held > most {
		t.Errorf("%d entries take %d bytes; want at most %d", count, held, most)
	}
}

// TestRanges checks that a directory with more names than are held at a time is listed in order, with and without restored names,
// and that a change of it meanwhile is an error.
func TestRanges(t *testing.T) {
	dir := t.TempDir()
	const count = 20_000
	var raw, restored []string
	for i := range count {
		name := fmt.Sprintf("%05d-%0220d", i*7919%count, 0)
		restored = append(restored, name)
		if i%100 == 0 {
			name += "~nix~case~hack~1"
		}
		raw = append(raw, name)
		if err := os.WriteFile(dir+"/"+name, nil, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(raw)
	slices.Sort(restored)
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	buf := make([]byte, 32<<10)
	for _, want := range [][]string{raw, restored} {
		if _, err := d.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		l, err := list(int(d.Fd()), buf)
		if err != nil {
			t.Fatal(err)
		}
		if l.changed != raw[0] {
			t.Errorf("the first changed name is %q; want %q", l.changed, raw[0])
		}
		if want[0] != raw[0] {
			l.restoreNames()
		}
		for more := true; more; {
			held := 4 * cap(l.order)
			for _, chunk := range l.chunks {
				held += cap(chunk)
			}
			if held > mostHeld*3/2 {
				t.Errorf("a range takes %d bytes; want at most %d", held, mostHeld*3/2)
			}
			for i := range l.order {
				name, _ := l.at(i)
				if got := string(l.key(name)); len(want) == 0 || got != want[0] {
					t.Fatalf("%q follows; want %.1q", got, want)
				}
				want = want[1:]
			}
			if more, err = l.nextRange(int(d.Fd()), buf); err != nil {
				t.Fatal(err)
			}
		}
		if len(want) > 0 {
			t.Errorf("%d names are missing", len(want))
		}
	}
	if _, err := d.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	l, err := list(int(d.Fd()), buf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+"/"+raw[5], dir+"/z"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.nextRange(int(d.Fd()), buf); !errors.Is(err, errChanged) {
		t.Errorf("a range of a directory that has changed: %v; want %v", err, errChanged)
	}
}
