package ocilayout

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/rootfs/staging"
)

// TestRecover stops a run after each step of publishing, as a kill would,
// in an empty directory or a layout, with a staging directory in it or beside it.
// Open must then restore the state before the run, or the state after it.
func TestRecover(t *testing.T) {
	template := filepath.Join(t.TempDir(), "template")
	write(t, template, sampleImage(t, 1), Name{Tag: "same"})
	write(t, template, sampleImage(t, 2), Name{Tag: "other"})
	for _, start := range []string{"empty", "layout"} {
		for _, beside := range []bool{false, true} {
			for steps, done := 0, false; !done; steps++ {
				parent := t.TempDir()
				dir := filepath.Join(parent, "layout")
				var err error
				if start == "layout" {
					err = os.CopyFS(dir, os.DirFS(template))
				} else {
					err = os.Mkdir(dir, 0o755)
				}
				if err != nil {
					t.Fatal(err)
				}
				before := listing(t, dir)
				done = stopAfter(t, dir, beside, steps)
				stopped := listing(t, dir)

				l, err := Open(t.Context(), dir, Options{})
				if err != nil {
					t.Fatalf("%s, stopped after %d steps: %v", start, steps, err)
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
				after := listing(t, dir)
				if done {
					if d := cmp.Diff(after["index.json"], stopped["index.json"]); d != "" {
						t.Errorf("%s, stopped at the end: index (-want +got):\n%s", start, d)
					}
					verify(t, dir)
				} else if d := cmp.Diff(before, after); d != "" {
					t.Errorf("%s, stopped after %d steps: files change (-before +after):\n%s", start, steps, d)
				}
				if got := names(t, parent); !cmp.Equal(got, []string{"layout"}) {
					t.Errorf("%s, stopped after %d steps: beside the layout there is %q", start, steps, got)
				}
			}
		}
	}
}

// stopAfter makes the first steps of a run that publishes, and reports whether only the clean-up is left.
func stopAfter(t *testing.T, dir string, beside bool, steps int) (done bool) {
	t.Helper()
	l, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if beside { // as if the directory had not existed at Open
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if l.staging, err = staging.New(filepath.Dir(dir), filepath.Base(dir)); err != nil {
			t.Fatal(err)
		}
		if l.engine, err = createEngine(filepath.Join(l.staging.Path, stagingLayout)); err != nil {
			t.Fatal(err)
		}
	}
	d, err := l.AddImage(t.Context(), sampleImage(t, 3))
	if err != nil {
		t.Fatal(err)
	}
	images, err := describe(d, []Name{{Tag: "same"}})
	if err != nil {
		t.Fatal(err)
	}
	live, err := l.finish(t.Context(), images)
	if err != nil {
		t.Fatal(err)
	}
	j, err := l.prepareMerge(t.Context(), dir, images, live)
	if err != nil {
		t.Fatal(err)
	}
	todo := []string{ispec.ImageBlobsDir, blobs}
	for d := range live {
		todo = append(todo, filepath.Join(blobs, d.Encoded()))
	}
	slices.Sort(todo)
	if j.Skeleton {
		todo = append(todo, ispec.ImageLayoutFile)
	}
	todo = append(todo, ispec.ImageIndexFile)
	for _, name := range todo[:min(steps, len(todo))] {
		var err error
		if name == ispec.ImageBlobsDir || name == blobs {
			if err = os.Mkdir(filepath.Join(dir, name), 0o755); errors.Is(err, fs.ErrExist) {
				err = nil
			}
		} else {
			err = os.Rename(filepath.Join(l.engine.dir, name), filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := l.staging.Unlock(); err != nil { // all that a kill does to the lock
		t.Fatal(err)
	}
	return steps >= len(todo)
}

// TestRecoverJournal checks that an unreadable journal, as after a power cut, blocks no run.
func TestRecoverJournal(t *testing.T) {
	for _, content := range []string{"", "{", "null", `{"blobs":["x"]}`, `{"blobs":["sha256:../../../index.json"]}`, `{"skeleton":true}`} {
		parent := t.TempDir()
		dir := filepath.Join(parent, "layout")
		write(t, dir, sampleImage(t, 1), Name{Tag: "v1"})
		for _, place := range []string{".layout.export-profile-1", "layout/.image.export-profile-2"} {
			place = filepath.Join(parent, place)
			if err := errors.Join(os.Mkdir(place, 0o700), os.WriteFile(filepath.Join(place, journalName), []byte(content), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		l, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Errorf("Open with journal %q: %v", content, err)
			continue
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		verify(t, dir)
		if got := names(t, parent); !cmp.Equal(got, []string{"layout"}) {
			t.Errorf("beside the layout there is %q", got)
		}
	}
}

// TestPublishOwner checks that root gives its files in another user's layout to that user.
func TestPublishOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := filepath.Join(t.TempDir(), "layout")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chown(dir, 1234, 5678)); err != nil {
		t.Fatal(err)
	}
	for generation := range 2 {
		write(t, dir, sampleImage(t, generation), Name{Tag: "v1"})
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			own, err := newOwner(path)
			if err == nil && *own != (owner{1234, 5678}) {
				t.Errorf("%s belongs to %v", path, *own)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		verify(t, dir)
	}
}
