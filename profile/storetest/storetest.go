// Package storetest tests implementations of [profile.Store].
// A test opens the golden closure in the store's form and calls [Golden].
// The [Samples] add cases that real closures rarely contain.
package storetest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/input"
	"github.com/export-profile/export-profile/profile/nar"
)

// Test tests a store that contains at least the sample.
func Test(t *testing.T, s profile.Store, sample *Sample) {
	infos := sample.Infos
	if got := s.StoreDir(); got != sample.Dir {
		t.Errorf("StoreDir() = %v; want %v", got, sample.Dir)
	}
	t.Run("Info", func(t *testing.T) {
		for _, want := range infos {
			got, err := s.Info(t.Context(), want.Path)
			if err != nil {
				t.Errorf("Info(%q) = %v", want.Path, err)
				continue
			}
			// Not every form has the other fields, and no image needs them.
			if d := cmp.Diff(want, got, cmpopts.IgnoreFields(profile.Info{}, "Deriver", "Signatures", "CA"), cmpopts.EquateEmpty()); d != "" {
				t.Errorf("Info(%q) (-want +got):\n%s", want.Path, d)
			}
		}
	})
	t.Run("Files", func(t *testing.T) {
		if d := cmp.Diff(sample.list(t, sample), sample.list(t, s)); d != "" {
			t.Errorf("Files (-want +got):\n%s", d)
		}
	})
	t.Run("NarHash", func(t *testing.T) {
		for _, info := range infos {
			hash, size, err := nar.Sum(s.Files(t.Context(), info.Path), info.Path.Root())
			if hash != info.NarHash || size != info.NarSize || err != nil {
				t.Errorf("Sum(Files(%q)) = %v, %d, %v; want %v, %d, <nil>", info.Path, hash, size, err, info.NarHash, info.NarSize)
			}
		}
	})
	t.Run("partial walks without opening files", func(t *testing.T) {
		tree := s.Files(t.Context(), sample.Root)
		want, err := List(tree)
		if err != nil {
			t.Fatal(err)
		}
		for n := range want {
			i := 0
			for _, err := range tree {
				if err != nil {
					t.Fatal(err)
				}
				if i++; i > n {
					break
				}
			}
		}
		if again, err := List(tree); err != nil || !slices.Equal(again, want) {
			t.Errorf("Files walked again = %q, %v; want %q", again, err, want)
		}
	})
	t.Run("partly read files", func(t *testing.T) {
		for _, info := range infos {
			for e, err := range s.Files(t.Context(), info.Path) {
				if err != nil {
					t.Fatalf("Files(%q) read in part: %v", info.Path, err)
				}
				if !e.IsRegular() {
					continue
				}
				r, err := e.Open()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(r, make([]byte, 1)); err != nil && e.Size > 0 {
					t.Errorf("first byte of %q: %v", e.Path, err)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	t.Run("in parallel", func(t *testing.T) {
		var group sync.WaitGroup
		for range 4 {
			for _, info := range infos[:min(len(infos), 100)] {
				group.Go(func() {
					hash, _, err := nar.Sum(s.Files(t.Context(), info.Path), info.Path.Root())
					if hash != info.NarHash || err != nil {
						t.Errorf("Sum(Files(%q)) = %v, %v; want %v, <nil>", info.Path, hash, err, info.NarHash)
					}
				})
			}
		}
		group.Wait()
	})
	t.Run("no such object", func(t *testing.T) {
		gone := profile.Path(sample.Dir.String() + "/00000000000000000000000000000000-gone")
		if info, err := s.Info(t.Context(), gone); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Info(%q) = %v, %v; want %v", gone, info, err, fs.ErrNotExist)
		}
		if lines, err := List(s.Files(t.Context(), gone)); !errors.Is(err, fs.ErrNotExist) || len(lines) > 0 {
			t.Errorf("Files(%q) = %q, %v; want %v", gone, lines, err, fs.ErrNotExist)
		}
	})
	t.Run("Paths", func(t *testing.T) {
		l, ok := s.(profile.Lister)
		if !ok {
			t.Skip("the store does not list its objects")
		}
		paths, err := l.Paths(t.Context())
		if err != nil || !slices.IsSorted(paths) {
			t.Errorf("Paths() = %q, %v; want sorted paths", paths, err)
		}
		for _, info := range infos {
			if !slices.Contains(paths, info.Path) {
				t.Errorf("Paths() lacks %q", info.Path)
			}
		}
	})
	t.Run("FindClosure", func(t *testing.T) {
		c, err := profile.FindClosure(t.Context(), s, sample.Root)
		if err != nil {
			t.Fatal(err)
		}
		var got, want []profile.Path
		for _, info := range c.Infos {
			got = append(got, info.Path)
		}
		for _, info := range infos {
			want = append(want, info.Path)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("FindClosure(%q) (-want +got):\n%s", sample.Root, d)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		// A store may finish before it notices, but then its result must be complete.
		lines, err := List(s.Files(ctx, sample.Root))
		if err == nil && len(lines) == 0 || err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Files, cancelled: %d entries, %v; want %v or all", len(lines), err, context.Canceled)
		}
	})
}

// list lists the files that a store has for all objects of the sample.
func (s *Sample) list(t *testing.T, in profile.Store) []string {
	t.Helper()
	var all []string
	for _, info := range s.Infos {
		lines, err := List(in.Files(t.Context(), info.Path))
		if err != nil {
			t.Errorf("Files(%q): %v", info.Path, err)
		}
		all = append(all, lines...)
	}
	return all
}

// Open reads a store from a file as package source does. After an error the caller still owns f.
func Open[S any](ctx context.Context, f *os.File, o input.Options, read func(*input.Input) (S, error)) (s S, err error) {
	in, err := input.Open(ctx, f, o)
	if err != nil {
		return s, err
	}
	if s, err = read(in); err != nil {
		in.Abandon()
	}
	return s, err
}

// File returns the name of a file in the repository's testdata.
func File(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "testdata", name)
		}
		if dir == filepath.Dir(dir) {
			err = fs.ErrNotExist
		}
		dir = filepath.Dir(dir)
	}
	t.Fatalf("find testdata: %v", err)
	return ""
}
