package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/profile"
)

// These limits bound what doctor reads of the working directory.
const (
	maxListed  = 1 << 14 // names
	maxResults = 5       // result links
	maxSniffed = 1 << 6  // files that may be sources
)

// resultLink matches the names of links that nix-build and nix build make.
var resultLink = regexp.MustCompile(`^result(-[^/]*)?$`)

// findResults finds result links in the working directory.
func (d *doctor) findResults(ctx context.Context) {
	for _, name := range namesHere() {
		if !resultLink.MatchString(name) || !isPlain(name) || len(d.Results) == maxResults {
			continue
		}
		fi, err := os.Lstat(name)
		if err != nil || fi.Mode()&os.ModeSymlink == 0 {
			continue
		}
		if found, ok := d.resolveResult(ctx, "./"+name); ok {
			d.Results = append(d.Results, found)
		}
	}
}

// resolveResult is resolve for a link in the working directory. Links to files that are in no store are none of Nix's.
func (d *doctor) resolveResult(ctx context.Context, name string) (foundProfile, bool) {
	if d.store != nil {
		var outside *profile.OutsideError
		if _, err := profile.Resolve(ctx, d.store, name); errors.As(err, &outside) && outside.StoreDir() == "" {
			return foundProfile{}, false
		}
	} else if leadsTo(name) == "" {
		return foundProfile{}, false
	}
	return d.resolve(ctx, name), true
}

// resolve finds the store path that a link leads to.
func (d *doctor) resolve(ctx context.Context, name string) foundProfile {
	found := foundProfile{Name: name}
	if d.store == nil {
		hint := "export it where that store is: " + exportFrom(d.storeDir())
		if target, err := os.Readlink(name); err == nil {
			d.problem(aboutPackages, hint, "%q leads to %q, and no store can be read here", name, target)
		}
		return found
	}
	p, err := profile.Resolve(ctx, d.store, name)
	if err != nil {
		next := hint(hintProfile(err))
		switch dir := leadsTo(name); {
		case dir != "" && dir != d.storeDir().String():
			next = "say --store-dir " + dir
		case dir != "" && errors.Is(err, fs.ErrNotExist):
			next = "the store no longer has it: build it again, or remove the link"
		}
		d.problem(aboutPackages, next, "%v", err)
		return found
	}
	found.Path = p.Path
	found.Generation, found.Generations = generations(name)
	programs := d.programs(p.Path)
	found.Programs, found.program = len(programs), mainProgram(p.Path, programs)
	found.Image = imageOf(ctx, name, filepath.Join(d.root, string(p.Path)))
	return found
}

// generationLink matches the name of a profile's generation.
var generationLink = regexp.MustCompile(`^(.+-)([0-9]{1,9})(-link)$`)

// generations returns the number of the generation that a link leads to, and how many are kept; or zeros.
func generations(link string) (current, kept int) {
	for range 8 { // as many links as Nix makes, and a few more
		target, err := os.Readlink(link)
		if err != nil {
			return 0, 0
		}
		dir := filepath.Dir(link)
		if filepath.IsAbs(target) {
			dir = filepath.Dir(target)
		}
		link = filepath.Join(dir, filepath.Base(target))
		m := generationLink.FindStringSubmatch(filepath.Base(target))
		if m == nil {
			continue
		}
		current, _ = strconv.Atoi(m[2])
		for _, name := range namesIn(dir) {
			if other := generationLink.FindStringSubmatch(name); other != nil && other[1] == m[1] {
				kept++
			}
		}
		return current, kept
	}
	return 0, 0
}

// programs lists the programs of a profile, without those that only wrappers start.
func (d *doctor) programs(p profile.Path) []string {
	all := namesIn(filepath.Join(d.root, string(p), "bin"))
	return slices.DeleteFunc(all, func(name string) bool { return strings.HasPrefix(name, ".") })
}

// mainProgram returns the program that is called as its package, or else the only one, or else a shell, or "".
// It returns none whose name a terminal cannot show.
func mainProgram(p profile.Path, programs []string) string {
	name, _ := profile.SplitName(p.Name())
	for _, wanted := range []string{p.Name(), name} {
		if slices.Contains(programs, wanted) {
			return wanted
		}
	}
	if len(programs) == 1 && isPlain(programs[0]) {
		return programs[0]
	}
	if slices.Contains(programs, "sh") {
		return "sh"
	}
	return ""
}

// namesHere lists the working directory.
func namesHere() []string { return namesIn(".") }

// namesIn lists a directory in order, or its first names if there are many. It lists none of a directory that it cannot read.
func namesIn(dir string) []string {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(maxListed)
	slices.Sort(names)
	return names
}
