package scan

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/exportstore"
	"github.com/export-profile/export-profile/profile/input"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
)

// bareStore is a store without metadata. It counts how often files are read.
type bareStore struct {
	profile.Store
	reads atomic.Int32
	fail  func() error
}

func (b *bareStore) Info(context.Context, profile.Path) (*profile.Info, error) {
	return nil, errors.New("no database")
}

func (b *bareStore) Files(ctx context.Context, p profile.Path) rootfs.Tree {
	b.reads.Add(1)
	if b.fail != nil {
		if err := b.fail(); err != nil {
			return func(yield func(rootfs.Entry, error) bool) { yield(rootfs.Entry{}, err) }
		}
	}
	return b.Store.Files(ctx, p)
}

func golden(t testing.TB) (*bareStore, []profile.Path) {
	t.Helper()
	f, err := os.Open(storetest.File(t, "basic.nix-export"))
	if err != nil {
		t.Fatal(err)
	}
	in, err := input.Open(t.Context(), f, input.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := exportstore.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	paths, err := s.Paths(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &bareStore{Store: s}, paths
}

func TestGolden(t *testing.T) {
	b, paths := golden(t)
	s, err := Overlay(b, paths, nil)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Golden(t, s)
}

// TestOnce checks that concurrent requests scan an object only once.
func TestOnce(t *testing.T) {
	b, paths := golden(t)
	s, err := Overlay(b, paths, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := b.reads.Load(); n != 0 {
		t.Errorf("Overlay read %d objects; want none", n)
	}
	var group sync.WaitGroup
	for range 8 {
		for _, p := range paths {
			group.Go(func() {
				if _, err := s.Info(t.Context(), p); err != nil {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
	if n := int(b.reads.Load()); n != len(paths) {
		t.Errorf("%d objects were read %d times; want each once", len(paths), n)
	}
}

func TestErrors(t *testing.T) {
	b, paths := golden(t)
	p := paths[0]
	damaged := errors.New("damaged")
	b.fail = func() error { return damaged }
	s, err := Overlay(b, paths, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.Info(t.Context(), p); !errors.Is(err, damaged) {
			t.Errorf("Info(%q) = %v; want %v", p, err, damaged)
		}
		if _, err := storetest.List(s.Files(t.Context(), p)); !errors.Is(err, damaged) {
			t.Errorf("Files(%q) = %v; want %v", p, err, damaged)
		}
	}
	if n := b.reads.Load(); n != 1 {
		t.Errorf("a damaged object was read %d times; want once", n)
	}
	if _, err := Overlay(b, append(paths, profile.Path(string(p)+"2")), nil); err == nil || !strings.Contains(err.Error(), "the same hash") {
		t.Errorf("Overlay with one digest twice: %v; want an error", err)
	}
}

// TestCancelled checks that a cancelled scan leaves the object to the next caller.
func TestCancelled(t *testing.T) {
	b, paths := golden(t)
	p := paths[0]
	ctx, cancel := context.WithCancel(t.Context())
	begun, goOn := make(chan bool), make(chan bool)
	var once sync.Once
	b.fail = func() (err error) {
		once.Do(func() {
			begun <- true
			<-goOn
			err = ctx.Err()
		})
		return err
	}
	s, err := Overlay(b, paths, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := s.Info(ctx, p); first <- err }()
	<-begun
	// A waiting caller can be cancelled, too.
	short, stop := context.WithCancel(t.Context())
	stop()
	if _, err := s.Info(short, p); !errors.Is(err, context.Canceled) {
		t.Errorf("Info(%q), waiting, cancelled: %v; want %v", p, err, context.Canceled)
	}
	go func() { _, err := s.Info(t.Context(), p); second <- err }()
	cancel()
	goOn <- true
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("Info(%q), cancelled: %v; want %v", p, err, context.Canceled)
	}
	if err := <-second; err != nil {
		t.Errorf("Info(%q) after another was cancelled: %v; want <nil>", p, err)
	}
}

// changingStore is a store whose objects change with each read.
type changingStore struct {
	*bareStore
	times int
}

func (c *changingStore) Files(ctx context.Context, p profile.Path) rootfs.Tree {
	c.times++
	return func(yield func(rootfs.Entry, error) bool) {
		yield(rootfs.Link(p.Root(), strings.Repeat("x", c.times)), nil)
	}
}

func TestChanged(t *testing.T) {
	b, paths := golden(t)
	s, err := Overlay(&changingStore{bareStore: b}, paths, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = storetest.List(s.Files(t.Context(), paths[0]))
	var hash *nar.HashError
	if !errors.As(err, &hash) {
		t.Errorf("Files of an object that changed since it was scanned: %v; want a HashError", err)
	}
}

// linkStore is a store with a file system around it.
type linkStore struct{ *bareStore }

func (linkStore) Readlink(string) (string, error)   { return "target", nil }
func (linkStore) Inside(name string) (string, bool) { return name, true }

func TestLinker(t *testing.T) {
	b, paths := golden(t)
	s, err := Overlay(linkStore{b}, paths, nil)
	if err != nil {
		t.Fatal(err)
	}
	if l, ok := s.(profile.Linker); !ok {
		t.Error("the overlay of a Linker is not a Linker")
	} else if target, err := l.Readlink("/x"); target != "target" || err != nil {
		t.Errorf("Readlink = %q, %v", target, err)
	}
	if s, err = Overlay(b, paths, nil); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.(profile.Linker); ok {
		t.Error("the overlay of another store is a Linker")
	}
	if got, err := s.(profile.Lister).Paths(t.Context()); err != nil || !slices.Equal(got, paths) {
		t.Errorf("Paths() = %v, %v; want (-want +got):\n%s", got, err, cmp.Diff(paths, got))
	}
	if _, err := s.Info(t.Context(), "/nix/store/00000000000000000000000000000000-gone"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Info of a path that is not a candidate: %v; want %v", err, fs.ErrNotExist)
	}
}
