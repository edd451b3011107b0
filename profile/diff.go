package profile

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Difference describes how a package differs between two closures.
type Difference struct {
	Name           string
	Removed, Added []string // versions that only one closure has, sorted; "" if the package has no version
	Before, After  int64    // sum of the NAR sizes of its store objects
}

// minDelta is the smallest change in bytes that makes a package with the same versions a difference, as in Nix.
const minDelta = 8 << 10

// Diff returns the packages that differ, sorted by name, as nix store diff-closures lists them.
// It groups store paths by package name, and drops the name of an output at the end.
func Diff(before, after []*Info) []Difference {
	was, is := versions(before), versions(after)
	names := slices.Collect(maps.Keys(was))
	for name := range is {
		if was[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var all []Difference
	for _, name := range names {
		d := Difference{Name: name, Removed: missingFrom(is[name], was[name]), Added: missingFrom(was[name], is[name])}
		for _, size := range was[name] {
			d.Before += size
		}
		for _, size := range is[name] {
			d.After += size
		}
		if len(d.Removed)+len(d.Added) > 0 || d.Delta() >= minDelta || d.Delta() <= -minDelta {
			all = append(all, d)
		}
	}
	return all
}

// Delta returns by how many bytes the package has grown.
func (d Difference) Delta() int64 { return d.After - d.Before }

// outputName matches a name that ends like an output.
// The ending may also be part of a version ("unstable"): the two cannot be told apart.
var outputName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(.*)-([a-z]+|lib32|lib64)$`) })

// versions returns the versions of each package, with the size of each version's objects.
func versions(infos []*Info) map[string]map[string]int64 {
	all := make(map[string]map[string]int64)
	for _, info := range infos {
		name := info.Path.Name()
		if m := outputName().FindStringSubmatch(name); m != nil {
			name = m[1]
		}
		name, version := SplitName(name)
		if all[name] == nil {
			all[name] = make(map[string]int64)
		}
		all[name][version] += info.NarSize
	}
	return all
}

// missingFrom returns the versions that others lack, sorted.
func missingFrom(others, versions map[string]int64) []string {
	var all []string
	for v := range versions {
		if _, ok := others[v]; !ok {
			all = append(all, v)
		}
	}
	slices.Sort(all)
	return all
}

// ShowVersions formats versions as Nix prints them: ∅ for none, ε for an empty one.
func ShowVersions(versions []string) string {
	if len(versions) == 0 {
		return "∅"
	}
	shown := make([]string, len(versions))
	for i, v := range versions {
		shown[i] = cmp.Or(v, "ε")
	}
	slices.Sort(shown)
	return strings.Join(shown, ", ")
}
