package localstore

import (
	"fmt"
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
