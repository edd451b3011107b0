package rootfs

import (
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWriteDirSetuid checks that a file gets its setuid and setgid bits only together with its owner.
func TestWriteDirSetuid(t *testing.T) {
	f := File("d/f", fs.ModeSetuid|fs.ModeSetgid|0o755, 0, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil })
	f.UID, f.GID = 12, 34
	p := Part{Name: "base", Tree: func(yield func(Entry, error) bool) {
		_ = yield(Dir("d", fs.ModeSetgid|fs.ModeSticky|0o775), nil) && yield(f, nil)
	}}
	for chown, want := range map[bool][]fs.FileMode{
		false: {fs.ModeDir | fs.ModeSticky | 0o775, 0o755},
		true:  {fs.ModeDir | fs.ModeSetgid | fs.ModeSticky | 0o775, fs.ModeSetuid | fs.ModeSetgid | 0o755},
	} {
		if chown && os.Geteuid() != 0 {
			continue
		}
		w := &dirWriter{dir: t.TempDir(), chown: chown}
		if err := w.part(t.Context(), p, nil); err != nil {
			t.Fatal(err)
		}
		var got []fs.FileMode
		for _, name := range []string{"d", "d/f"} {
			fi, err := os.Lstat(w.place(name))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fi.Mode())
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("chown %v (-want +got):\n%s", chown, d)
		}
	}
}
