package profile

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Difference is how a package differs between two closures.
type Difference struct {
	Name           string
	Removed, Added []string // versions that only one of them has, sorted; empty ones are packages without a version
	Before, After  int64    // bytes of all its store objects
}

// minDelta is how many bytes a package of the same versions has to grow or shrink by to be different, as Nix has it.
const minDelta = 8 << 10

// Diff is the packages that are different, as nix store diff-closures lists them, sorted by name.
// Its store paths are grouped by the names of packages, without the outputs at their ends.
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
		d := Difference{Name: name, Removed: without(was[name], is[name]), Added: without(is[name], was[name])}
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

// Delta is by how many bytes the package has grown.
func (d Difference) Delta() int64 { return d.After - d.Before }

// outputName is the end of a name that is taken for that of an output.
// It may be part of a version ("unstable"), which nobody can tell.
var outputName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(.*)-([a-z]+|lib32|lib64)$`) })

// versions are the versions of each package, with the sizes of their objects.
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

// without are the versions that are not among others, sorted.
func without(versions, others map[string]int64) []string {
	var all []string
	for v := range versions {
		if _, ok := others[v]; !ok {
			all = append(all, v)
		}
	}
	slices.Sort(all)
	return all
}

// ShowVersions is versions as Nix prints them: ∅ for none, ε for an empty one.
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
