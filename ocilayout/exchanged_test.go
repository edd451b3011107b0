package ocilayout

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// exchangeStaging does what another user can who may write in a directory:
// it moves the staging directories there and puts links to another directory in their places.
func exchangeStaging(parent, outside string) (moved int) {
	entries, _ := os.ReadDir(parent)
	for _, e := range entries {
		if e.IsDir() && strings.Contains(e.Name(), ".export-profile-") {
			path := filepath.Join(parent, e.Name())
			if os.Rename(path, path+"-moved") == nil && os.Symlink(outside, path) == nil {
				moved++
			}
		}
	}
	return moved
}

// outsideLayout returns a directory with a layout, and a listing of it.
func outsideLayout(t *testing.T) (dir string, before map[string]string) {
	t.Helper()
	dir = t.TempDir()
	write(t, filepath.Join(dir, stagingLayout), sampleImage(t, 4), Name{Tag: "v1"})
	if err := os.WriteFile(filepath.Join(dir, stagingFile), []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, listing(t, dir)
}

// TestExchanged checks that an output is right, and that nothing changes elsewhere,
// if its staging directory is exchanged for a link while a layer is written.
func TestExchanged(t *testing.T) {
	for _, tt := range []struct {
		name   string
		inside bool // the staging directory is in the layout
		write  func(path string, image ImageSpec) error
		check  func(t *testing.T, path string)
	}{
		{"new layout", false, nil, nil},
		{"layout", true, nil, nil},
		{"archive", false, func(path string, image ImageSpec) error {
			l, err := OpenArchive(t.Context(), path, Options{})
			if err != nil {
				return err
			}
			d, err := l.AddImage(t.Context(), image)
			if err == nil {
				_, err = l.PublishArchive(t.Context(), d, nil)
			}
			return checkLeft(err, l.Close())
		}, nil},
		{"tar", false, func(path string, image ImageSpec) error {
			made, err := PublishTar(t.Context(), path, image.Layers[0].Parts, method("none"), Options{})
			return checkLeft(err, made.Left)
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			outside, before := outsideLayout(t)
			path := filepath.Join(t.TempDir(), "output")
			parent := filepath.Dir(path)
			if tt.inside {
				parent = path
				write(t, path, sampleImage(t, 2), Name{Tag: "v1"})
			}
			image, moved := sampleImage(t, 1), 0
			first := &image.Layers[0].Parts[0]
			tree := first.Tree
			first.Tree = func(yield func(rootfs.Entry, error) bool) {
				moved += exchangeStaging(parent, outside)
				tree(yield)
			}
			var err error
			if tt.write != nil {
				err = tt.write(path, image)
			} else {
				err = writeExchanged(t, path, image)
			}
			if err != nil {
				t.Error(err)
			}
			if moved == 0 {
				t.Error("nothing was moved")
			}
			if diff := cmp.Diff(before, listing(t, outside)); diff != "" {
				t.Errorf("files change where the link leads to (-before +after):\n%s", diff)
			}
			if tt.write == nil {
				entries, err := filepath.Glob(filepath.Join(parent, ".*"))
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range entries {
					if err := staging.RemoveAll(name); err != nil {
						t.Error(err)
					}
				}
				verify(t, path)
			} else if fi, err := os.Stat(path); err != nil || fi.Size() == 0 {
				t.Errorf("the file is %v, %v", fi, err)
			}
		})
	}
}

func writeExchanged(t *testing.T, path string, image ImageSpec) error {
	l, err := Open(t.Context(), path, Options{})
	if err != nil {
		return err
	}
	d, err := l.AddImage(t.Context(), image)
	if err == nil {
		err = l.Publish(t.Context(), d, Name{Tag: "v1"})
	}
	return checkLeft(err, l.Close())
}

// checkLeft checks that an output succeeded, and that its cleaning up reports the link.
func checkLeft(err, left error) error {
	var l *staging.LeftError
	if err == nil && !errors.As(left, &l) {
		err = errors.Join(errors.New("the link is not reported as left"), left)
	}
	return err
}

// TestExchangedRace exchanges staging directories for links at any time. Each run must succeed with the right image or fail,
// and nothing may change elsewhere.
func TestExchangedRace(t *testing.T) {
	for _, start := range []string{"new", "layout"} {
		outside, before := outsideLayout(t)
		failed, moved := 0, 0
		for run := 0; run < 10 || moved == 0 && run < 200; run++ {
			pause := time.Duration(run%10+1) * 300 * time.Microsecond // a run in memory takes less than a millisecond
			path := filepath.Join(t.TempDir(), "output")
			parent := filepath.Dir(path)
			if start == "layout" {
				write(t, path, sampleImage(t, 2), Name{Tag: "old"})
				parent = path
			}
			stop, stopped := make(chan struct{}), make(chan int)
			go func() {
				n := 0
				for {
					select {
					case <-stop:
						stopped <- n
						return
					case <-time.After(pause):
						n += exchangeStaging(parent, outside)
					}
				}
			}()
			_, err := writeErr(t.Context(), path, sampleImage(t, 1), Options{}, Name{Tag: "v1"})
			close(stop)
			moved += <-stopped
			var left *staging.LeftError
			if err != nil && !errors.As(err, &left) {
				failed++
			}
			entries, globErr := filepath.Glob(filepath.Join(parent, ".*"))
			if globErr != nil {
				t.Fatal(globErr)
			}
			for _, name := range entries {
				if err := staging.RemoveAll(name); err != nil {
					t.Error(err)
				}
			}
			if got, err := os.Stat(path); err == nil || start == "layout" {
				if all := verify(t, path); got == nil || start == "new" && len(all) != 1 {
					t.Errorf("%s: the layout has %v", start, all)
				}
			}
		}
		if moved == 0 {
			t.Errorf("%s: nothing was moved", start)
		}
		if diff := cmp.Diff(before, listing(t, outside)); diff != "" {
			t.Errorf("%s: files change where the link leads to (-before +after):\n%s", start, diff)
		}
		t.Logf("%s: %d directories moved, %d runs failed", start, moved, failed)
	}
}

// TestOutputLinks checks that no output goes where a link of another user leads.
func TestOutputLinks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs a link of another user")
	}
	const other = 12345
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	write(t, target, sampleImage(t, 1), Name{Tag: "v1"})
	file, fileLink := filepath.Join(dir, "file"), filepath.Join(dir, "filelink")
	if err := errors.Join(os.WriteFile(file, []byte("kept"), 0o644), os.Symlink("target", link), os.Symlink("file", fileLink),
		os.Lchown(link, other, other), os.Lchown(fileLink, other, other)); err != nil {
		t.Fatal(err)
	}
	before := listing(t, dir)
	const want = "it is a link of user 12345"
	if _, err := Open(t.Context(), link, Options{}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Open of another user's link = %v; want %q", err, want)
	}
	if _, err := Open(t.Context(), link+"/", Options{}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Open of another user's link with a slash = %v; want %q", err, want)
	}
	if _, err := OpenArchive(t.Context(), fileLink, Options{}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("OpenArchive of another user's link = %v; want %q", err, want)
	}
	if _, err := PublishTar(t.Context(), fileLink, nil, method("none"), Options{}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("PublishTar to another user's link = %v; want %q", err, want)
	}
	if _, err := FindImage(t.Context(), link, "v1"); err != nil {
		t.Errorf("FindImage through another user's link = %v; want success", err)
	}
	if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
		t.Errorf("files changed (-before +after):\n%s", diff)
	}
}
