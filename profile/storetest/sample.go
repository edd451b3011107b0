package storetest

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
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
	Root  profile.Path // refers to all others
	Infos []*profile.Info
	trees map[profile.Path]rootfs.Tree
}

// Samples returns the golden closure, a closure of odd objects, and one of many objects.
// Callers must not change them.
func Samples(t testing.TB) []*Sample {
	t.Helper()
	return []*Sample{GoldenSample(t), Odd(t), Many(t, 2000)}
}

// The files of the samples below contain their references, so a scan for references finds them.

// Odd returns objects that Nix allows but few programs expect: single files and links,
// reference cycles, names that are not UTF-8, empty objects, and links out of the store.
func Odd(t testing.TB) *Sample {
	s := &Sample{Name: "odd", trees: make(map[profile.Path]rootfs.Tree)}
	long := strings.Repeat("n", rootfs.MaxName)
	s.add(t, "file", "", "f 0444 . alone")
	s.add(t, "program", "", "f 0555 . #!/bin/sh")
	s.add(t, "link", "file", "l . "+string(pathOf("file")))
	s.add(t, "empty", "", "d .")
	s.add(t, "nothing", "", "f 0444 .")
	s.add(t, "itself", "itself", "d .", "l self "+string(pathOf("itself"))+"/self")
	s.add(t, "circle-a", "circle-b", "d .", "f 0444 to "+string(pathOf("circle-b")))
	s.add(t, "circle-b", "circle-a", "d .", "f 0444 to "+string(pathOf("circle-a")))
	s.add(t, "names_+-.?=", "", "d .", "f 0444 \x01\xff\xfe odd", "f 0444 a\nb newline", "d b", "f 0444 b/c x", "f 0444 b-c x",
		"f 0444 "+long+" long", "l ünïcode ../../..", "f 0555 ~nix~case~hack~1 x")
	deep := []string{"d ."}
	for i := range 70 {
		deep = append(deep, "d "+strings.TrimPrefix(strings.Repeat("/d", i+1), "/"))
	}
	s.add(t, "deep", "", deep...)
	s.add(t, "large", "", "f 0444 . "+strings.Repeat("0123456789abcdef", 1<<16))
	refs := []string{"circle-a", "deep", "empty", "file", "itself", "large", "link", "names_+-.?=", "nothing", "program"}
	s.Root = s.add(t, "top", strings.Join(refs, " "),
		"d .", "f 0444 refs "+pathsOf(refs), "d bin", "l bin/program "+string(pathOf("program")), "l bin/lost /nowhere", "d etc", "l etc/file "+string(pathOf("link")))
	return s
}

// Many returns n objects that each refer to a few others.
func Many(t testing.TB, n int) *Sample {
	s := &Sample{Name: "many", trees: make(map[profile.Path]rootfs.Tree)}
	name := func(i int) string { return fmt.Sprintf("m%d", i) }
	for i := range n {
		refs := []string{}
		for _, j := range []int{i - 1, i / 2, i / 3} {
			if j >= 0 && j < i && !slices.Contains(refs, name(j)) {
				refs = append(refs, name(j))
			}
		}
		s.Root = s.add(t, name(i), strings.Join(refs, " "), "d .", fmt.Sprintf("f 0444 data content of %d: ", i)+pathsOf(refs))
	}
	return s
}

func pathsOf(names []string) string {
	var b strings.Builder
	for _, name := range names {
		b.WriteString(string(pathOf(name)) + "\n")
	}
	return b.String()
}

// pathOf derives a store path from a name.
func pathOf(name string) profile.Path {
	sum := uint64(14695981039346656037)
	for _, c := range []byte(name) {
		sum = (sum ^ uint64(c)) * 1099511628211
	}
	digest := make([]byte, 32)
	for i := range digest {
		digest[i] = nix32.Alphabet[sum%32]
		sum = sum*6364136223846793005 + 1442695040888963407
		sum ^= sum >> 29
	}
	p, err := profile.ParseBase(string(digest) + "-" + name)
	if err != nil {
		panic(err)
	}
	return p
}

// add adds an object; see Add for the lines.
func (s *Sample) add(t testing.TB, name, refs string, lines ...string) profile.Path {
	t.Helper()
	p := pathOf(name)
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
		info.References = append(info.References, pathOf(r))
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

// GoldenSample returns the golden closure.
func GoldenSample(t testing.TB) *Sample {
	t.Helper()
	s := &Sample{Name: "golden", Root: GoldenProfile, Infos: GoldenInfos(t), trees: make(map[profile.Path]rootfs.Tree)}
	f, err := os.Open(File(t, "basic.nix-export"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// Find the NARs by their magic number and hash, independently of package exportstore.
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range s.Infos {
		found := false
		for at := range data {
			if at+int(info.NarSize) > len(data) || !strings.HasPrefix(string(data[at:min(at+32, len(data))]), narMagic) {
				continue
			}
			object := data[at : at+int(info.NarSize)]
			tree := func(yield func(rootfs.Entry, error) bool) {
				nar.Read(nar.NewWire(strings.NewReader(string(object))), info.Path.Root())(yield)
			}
			if hash, _, err := nar.Sum(tree, info.Path.Root()); err == nil && hash == info.NarHash {
				s.trees[info.Path], found = tree, true
				break
			}
		}
		if !found {
			t.Fatalf("the golden stream has no NAR of %s", info.Path)
		}
	}
	return s
}

const narMagic = "\r\x00\x00\x00\x00\x00\x00\x00nix-archive-1"

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
