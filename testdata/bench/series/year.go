package main

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// image is a release of an image: what a maker of images gets from Nix.
type image struct {
	store []rootfs.Part // packages, in path order
	roots []string      // the packages that the image is for
	top   []rootfs.Part // the profile and the base files, which change with every release
}

// parts returns all parts.
func (m image) parts() []rootfs.Part { return slices.Concat(m.top, m.store) }

// change names what a week changed, for people.
type change struct {
	revised      []string
	joined, left string // of one image
}

// year is a series of releases: in each week, the images.
type year struct {
	weeks   [][]image
	changes []change
}

// baseLibraries are those that change in a week of their own. Each changes once, as long as the closure has it.
var baseLibraries = []string{"libssl3", "libc6"}

// common lists the packages that all of ten images have.
var common = []string{"curl", "gnupg", "openssh-client", "python3"}

// newYear makes a year of releases of count images. With one image, it has all packages of the universe;
// several share the common ones, and divide the others.
//
// A third into the year and two thirds into it, a base library changes. In every fourth other week it is a library in the middle,
// which a twentieth to a quarter of all packages need. In all others it is one to five leaves, which at most one other package needs.
// Every ninth week a package joins an image or leaves it: of every image, one package joins later.
func newYear(u *universe, weeks, count int, seed uint64) year {
	r := rand.New(rand.NewPCG(seed, uint64(count)))
	sets := u.divide(count)
	absent := make([]int, count)
	for i, set := range sets {
		n := len(set) - 1 - r.IntN(max(1, len(set)-u.commonRoots(set)))
		absent[i] = set[n]
		sets[i] = slices.Delete(set, n, n+1)
	}
	needed := u.dependents()
	var leaves, middle []int
	for i, n := range needed {
		switch {
		case n <= 1:
			leaves = append(leaves, i)
		case n >= len(needed)/20 && n <= len(needed)/4 && !slices.Contains(baseLibraries, u.pname(i)):
			middle = append(middle, i)
		}
	}
	s := make(state, len(u.packages))
	var y year
	for week := range weeks {
		var c change
		revise := func(i int) {
			s[i]++
			c.revised = append(c.revised, u.pname(i))
		}
		base := -1
		for i, name := range baseLibraries {
			if week == (i+1)*weeks/(len(baseLibraries)+1) {
				base = u.find(name)
			}
		}
		switch {
		case week == 0:
		case base >= 0:
			revise(base)
		case week%4 == 0 && len(middle) > 0:
			revise(middle[r.IntN(len(middle))])
		default:
			for _, n := range r.Perm(len(leaves))[:min(len(leaves), 1+r.IntN(5))] {
				revise(leaves[n])
			}
		}
		if week%9 == 5 {
			i := r.IntN(count)
			if absent[i] >= 0 {
				c.joined = u.pname(absent[i])
				sets[i] = append(sets[i], absent[i])
				slices.Sort(sets[i])
				absent[i] = -1
			} else if free := len(sets[i]) - u.commonRoots(sets[i]); free > 0 {
				n := slices.IndexFunc(sets[i], func(p int) bool { return !slices.Contains(common, u.pname(p)) })
				for range r.IntN(free) {
					n += 1 + slices.IndexFunc(sets[i][n+1:], func(p int) bool { return !slices.Contains(common, u.pname(p)) })
				}
				c.left, absent[i] = u.pname(sets[i][n]), sets[i][n]
				sets[i] = slices.Delete(sets[i], n, n+1)
			}
		}
		digests := u.digests(s)
		var images []image
		for _, set := range sets {
			images = append(images, u.image(slices.Clone(s), digests, set))
		}
		y.weeks, y.changes = append(y.weeks, images), append(y.changes, c)
	}
	return y
}

// divide returns the roots of each image.
func (u *universe) divide(count int) [][]int {
	roots := slices.SortedFunc(slices.Values(u.roots), func(a, b int) int { return cmp.Compare(u.packages[a].name(), u.packages[b].name()) })
	sets := make([][]int, count)
	n := 0
	for _, root := range roots {
		if slices.Contains(common, u.pname(root)) {
			for i := range sets {
				sets[i] = append(sets[i], root)
			}
			continue
		}
		sets[n%count] = append(sets[n%count], root)
		n++
	}
	for i := range sets {
		// Packages that only some images have come last, so that one of them can be absent at first.
		slices.SortStableFunc(sets[i], func(a, b int) int { return cmp.Compare(u.rank(a), u.rank(b)) })
	}
	return sets
}

func (u *universe) rank(root int) int {
	if slices.Contains(common, u.pname(root)) {
		return 0
	}
	return 1
}

func (u *universe) commonRoots(set []int) (n int) {
	for _, root := range set {
		if u.rank(root) == 0 {
			n++
		}
	}
	return n
}

// pname returns the name of a package without its version. Debian's versions begin with a digit behind a dash.
func (u *universe) pname(i int) string {
	name := u.packages[i].name()
	for at := range name {
		if name[at] == '-' && at+1 < len(name) && '0' <= name[at+1] && name[at+1] <= '9' {
			return name[:at]
		}
	}
	return name
}

// find returns the package of that name, or -1.
func (u *universe) find(pname string) int {
	for i := range u.packages {
		if u.pname(i) == pname {
			return i
		}
	}
	return -1
}

// dependents counts the packages that need each package, without itself.
func (u *universe) dependents() []int {
	needed := make([]int, len(u.packages))
	for i := range u.packages {
		for _, n := range u.closure([]int{i}) {
			if n != i {
				needed[n]++
			}
		}
	}
	return needed
}

// closure returns what some packages need, with themselves, in path order.
func (u *universe) closure(roots []int) []int {
	seen := make(map[int]bool)
	all := slices.Clone(roots)
	for _, root := range roots {
		seen[root] = true
	}
	for i := 0; i < len(all); i++ {
		for _, r := range u.packages[all[i]].refs {
			if !seen[r] {
				seen[r] = true
				all = append(all, r)
			}
		}
	}
	slices.Sort(all)
	return all
}

// image returns the image with some packages, what they need, a profile of links to their programs, and base files.
func (u *universe) image(s state, digests []string, set []int) image {
	var m image
	for _, i := range u.closure(set) {
		m.store = append(m.store, u.part(s, digests, i))
	}
	slices.SortFunc(m.store, func(a, b rootfs.Part) int { return rootfs.ComparePaths(a.Root, b.Root) })
	links := make(map[string]string)
	for _, i := range set {
		root := storeRoot + "/" + digests[i] + "-" + u.packages[i].name()
		m.roots = append(m.roots, root)
		for _, f := range u.packages[i].files {
			if dir, name, ok := cutDir(f.entry.Path); ok && dir == "/bin" && !f.entry.IsDir() && links[name] == "" {
				links[name] = "/" + root + f.entry.Path
			}
		}
	}
	slices.Sort(m.roots)
	name := newDigest([]byte(strings.Join(m.roots, " "))) + "-user-environment"
	profile := rootfs.Part{Name: name, Root: storeRoot + "/" + name, Refs: m.roots}
	entries := []rootfs.Entry{rootfs.Dir(profile.Root, 0o555), rootfs.Dir(profile.Root+"/bin", 0o555)}
	for _, name := range sortedKeys(links) {
		entries = append(entries, rootfs.Link(profile.Root+"/bin/"+name, links[name]))
		profile.Size += int64(128 + len(name) + len(links[name]))
	}
	profile.Tree, profile.Key = rootfs.TreeOf(entries), key(profile.Root)

	passwd := "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/sbin/nologin\n"
	base := rootfs.Part{Name: history.BaseName, Refs: []string{profile.Root}, Size: int64(len(passwd)), Key: key("base " + profile.Root)}
	base.Tree = rootfs.TreeOf([]rootfs.Entry{
		rootfs.Link("bin", "/"+profile.Root+"/bin"),
		rootfs.Dir("etc", 0o755),
		rootfs.File("etc/passwd", 0o644, base.Size, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(passwd)), nil }),
	})
	m.top = []rootfs.Part{base, profile}
	return m
}

func cutDir(path string) (dir, name string, ok bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", "", false
	}
	return path[:i], path[i+1:], true
}

func key(s string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(s))) }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
