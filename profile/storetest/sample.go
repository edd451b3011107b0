package storetest

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/profile/nix32"
	"github.com/export-profile/export-profile/rootfs"
)

// Sample is a closure for tests, which can be written in every form of a store.
// It is itself a store in memory.
type Sample struct {
	Name  string
	Dir   profile.StoreDir
	Root  profile.Path // refers to all others
	Infos []*profile.Info
	trees map[profile.Path]rootfs.Tree
}

// New returns a sample without objects, for tests that build their own closure.
func New(name string) *Sample { return NewIn(name, profile.StoreDir{}) }

// NewIn returns a sample without objects whose store directory is dir.
func NewIn(name string, dir profile.StoreDir) *Sample {
	return &Sample{Name: name, Dir: dir, trees: make(map[profile.Path]rootfs.Tree)}
}

// Add adds an object and makes it the root. It refers to the objects named in refs.
// The lines describe its entries: "d PATH", "l PATH TARGET" or "f MODE PATH CONTENT". The path "." is the object itself.
func (s *Sample) Add(t testing.TB, name, refs string, lines ...string) profile.Path {
	t.Helper()
	s.Root = s.add(t, name, refs, lines...)
	return s.Root
}

// add adds an object; see Add for the lines.
func (s *Sample) add(t testing.TB, name, refs string, lines ...string) profile.Path {
	t.Helper()
	p := s.PathOf(name)
	var entries []rootfs.Entry
	for _, line := range lines {
		kind, rest, _ := strings.Cut(line, " ")
		mode := "0444"
		if kind == "f" {
			mode, rest, _ = strings.Cut(rest, " ")
		}
		path, content, _ := strings.Cut(rest, " ")
		place := p.Root()
		if path != "." {
			place += "/" + path
		}
		switch kind {
		case "d":
			entries = append(entries, rootfs.Dir(place, 0o555))
		case "l":
			entries = append(entries, rootfs.Link(place, content))
		default:
			perm := fs.FileMode(0o444)
			if mode == "0555" {
				perm = 0o555
			}
			entries = append(entries, rootfs.File(place, perm, int64(len(content)), func() (io.ReadCloser, error) {
				return io.NopCloser(strings.NewReader(content)), nil
			}))
		}
	}
	slices.SortFunc(entries, func(a, b rootfs.Entry) int { return rootfs.ComparePaths(a.Path, b.Path) })
	s.trees[p] = func(yield func(rootfs.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
	info := &profile.Info{Path: p}
	for _, r := range strings.Fields(refs) {
		info.References = append(info.References, s.PathOf(r))
	}
	slices.Sort(info.References)
	var err error
	if info.NarHash, info.NarSize, err = nar.Sum(s.trees[p], p.Root()); err != nil {
		t.Fatal(err)
	}
	s.Infos = append(s.Infos, info)
	slices.SortFunc(s.Infos, func(a, b *profile.Info) int { return strings.Compare(string(a.Path), string(b.Path)) })
	return p
}

// PathOf returns the store path of the object called name in any sample in /nix/store.
func PathOf(name string) profile.Path { return New("").PathOf(name) }

// PathOf returns the store path of the object called name.
func (s *Sample) PathOf(name string) profile.Path {
	sum := uint64(14695981039346656037) // the digest does not depend on the directory
	for _, c := range []byte(name) {
		sum = (sum ^ uint64(c)) * 1099511628211
	}
	digest := make([]byte, 32)
	for i := range digest {
		digest[i] = nix32.Alphabet[sum%32]
		sum = sum*6364136223846793005 + 1442695040888963407
		sum ^= sum >> 29
	}
	p, err := profile.ParseBase(s.Dir, string(digest)+"-"+name)
	if err != nil {
		panic(err)
	}
	return p
}

// StoreDir implements [profile.Store].
func (s *Sample) StoreDir() profile.StoreDir { return s.Dir }

// Info implements [profile.Store].
func (s *Sample) Info(_ context.Context, p profile.Path) (*profile.Info, error) {
	for _, info := range s.Infos {
		if info.Path == p {
			return info, nil
		}
	}
	return nil, fmt.Errorf("%q is not in the sample: %w", p, fs.ErrNotExist)
}

// Files implements [profile.Store].
func (s *Sample) Files(ctx context.Context, p profile.Path) rootfs.Tree {
	if t, ok := s.trees[p]; ok {
		return t
	}
	return func(yield func(rootfs.Entry, error) bool) {
		_, err := s.Info(ctx, p)
		yield(rootfs.Entry{}, err)
	}
}

// Close implements [profile.Store].
func (s *Sample) Close() error { return nil }
