package startup

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

func (c *checker) check() error {
	for _, step := range []func() error{
		c.readAccount, c.checkPrograms, c.checkCommand, c.checkVolumes, c.checkHealth, c.checkCertificates,
		c.checkOthers, c.checkLibraries, c.checkLinks, c.checkConflicts, c.checkNames,
		c.checkZone, c.checkLocale, c.checkDriver, c.checkReadable,
	} {
		if err := context.Cause(c.ctx); err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// addVerdict reports why a program does not start, and marks the files that it uses as reached.
func (c *checker) addVerdict(v *verdict, report func(kind, path, reason string), kind, path string) {
	for _, r := range v.reasons {
		report(kind, path, r)
	}
	for _, used := range v.uses {
		c.reached[used] = true
	}
}

// pathDirs returns the directories of PATH, without the leading slash.
func (c *checker) pathDirs() []string {
	var dirs []string
	for dir := range strings.SplitSeq(c.searchPath(""), ":") {
		if dir = c.absolute(cmp.Or(dir, ".")); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// checkPrograms checks every program that a shell finds in PATH: the first executable file of each name.
func (c *checker) checkPrograms() error {
	seen := make(map[string]bool)
	for _, dir := range c.pathDirs() {
		at, err := c.stat(dir)
		if err != nil || !at.IsDir() {
			continue
		}
		for _, name := range c.files.Names(at.Path) {
			e, err := c.stat(dir + "/" + name)
			if seen[name] || err != nil || c.whyNotExecutable(e) != "" {
				continue
			}
			seen[name], c.reached[e.Path] = true, true
			c.report.Programs++
			v, err := c.judge(dir+"/"+name, 0)
			if err != nil {
				return err
			}
			c.addVerdict(v, c.errorf, Program, "/"+dir+"/"+name)
		}
	}
	for name := range c.reached {
		c.sonames[path.Base(name)] = true
		if e, ok := c.files.Lookup(name); ok {
			if s, err := c.startable(e); err == nil && s.Binary != nil {
				c.sonames[s.Binary.Soname] = true
			}
		}
	}
	return nil
}

// checkCommand checks the program that the image runs. runc and crun find it as a shell does.
func (c *checker) checkCommand() error {
	if dir := c.config.WorkingDir; dir != "" {
		switch e, err := c.stat(c.absolute(dir)); {
		case err == nil && !e.IsDir():
			c.errorf(WorkingDir, dir, "is not a directory")
		case err != nil:
			c.warn(WorkingDir, dir, madeForRoot)
		case !c.account.may(e.Entry, 0o1) || c.closedDir(e.Path) != "":
			c.warn(WorkingDir, dir, fmt.Sprintf("user %d cannot enter it", c.account.uid))
		}
	}
	words, what := c.config.Entrypoint, "the entrypoint"
	if len(words) == 0 {
		words, what = c.config.Cmd, "the command"
	}
	if len(words) == 0 {
		return nil
	}
	return c.checkStart(Entrypoint, what, words[0])
}

// madeForRoot says what becomes of a directory that does not exist.
const madeForRoot = "does not exist: container runtimes make it, owned by root"

// checkVolumes warns of volumes in which the user cannot write, because they do not exist.
func (c *checker) checkVolumes() error {
	for _, dir := range c.config.Volumes {
		if c.account.uid != 0 && !c.exists(dir) {
			c.warn(Volume, dir, madeForRoot)
		}
	}
	return nil
}

// checkHealth checks the program that the health check runs, as Docker finds it.
func (c *checker) checkHealth() error {
	switch test := c.config.Healthcheck; {
	case len(test) < 2:
		return nil
	case test[0] == "CMD-SHELL":
		return c.checkStart(Health, "the health check's shell", "/bin/sh")
	case test[0] == "CMD":
		return c.checkStart(Health, "the health check", test[1])
	}
	return nil
}

// checkStart checks a program that a container runtime starts. What names it in messages.
func (c *checker) checkStart(kind, what, word string) error {
	found, why := "", ""
	if strings.Contains(word, "/") {
		found = c.absolute(word)
	} else {
		for _, dir := range c.pathDirs() {
			e, err := c.stat(dir + "/" + word)
			if err != nil {
				continue
			}
			if not := c.whyNotExecutable(e); not != "" {
				why = cmp.Or(why, fmt.Sprintf("/%s/%s %s", dir, word, not))
				continue
			}
			found = dir + "/" + word
			break
		}
	}
	if found == "" {
		c.errorf(kind, word, what+" is not in PATH"+strings.TrimSuffix(": "+why, ": ")+c.noShell(word))
		return nil
	}
	v, err := c.judge(found, 0)
	if err != nil {
		return err
	}
	c.addVerdict(&verdict{reasons: prefix(what, " ", v.reasons), uses: v.uses}, c.errorf, kind, "/"+found)
	return nil
}

// checkOthers checks the programs and scripts that nothing in PATH runs.
func (c *checker) checkOthers() error {
	return c.eachFile(func(e rootfs.LowerEntry, s *startable) error {
		if s.Script == nil && (s.Binary == nil || s.Binary.Interp == "") || c.reached[e.Path] || c.whyNotExecutable(e) != "" {
			return nil
		}
		if s.Binary != nil && !runs(c.config.Architecture, s.Binary.Machine) {
			return nil // just data in this image
		}
		v, err := c.judge(e.Path, 0)
		if err == nil {
			c.addVerdict(v, c.warn, Other, "/"+e.Path)
		}
		return err
	})
}

// eachFile calls do for each file that may be started or loaded, in path order.
func (c *checker) eachFile(do func(rootfs.LowerEntry, *startable) error) error {
	for e := range c.files.Within("") {
		if e.Other || !mayStart(e.Entry) {
			continue
		}
		s, err := c.startable(e)
		if err != nil {
			return err
		}
		if err := do(e, s); err != nil {
			return err
		}
	}
	return nil
}

// checkLibraries checks the libraries that no program has loaded so far,
// as if a program without a search path loaded only that library.
func (c *checker) checkLibraries() error {
	return c.eachFile(func(e rootfs.LowerEntry, s *startable) error {
		b := s.Binary
		if b == nil || b.Type != typeDyn || b.Interp != "" || c.reached[e.Path] || !runs(c.config.Architecture, b.Machine) {
			return nil
		}
		if b.Damage != "" {
			c.warn(Library, "/"+e.Path, "is damaged: "+b.Damage)
			return nil
		}
		l := c.usualLoader(b.Machine)
		if l == nil {
			return nil
		}
		root := &object{libFile: libFile{at: e.Path, path: e.Path, binary: b}, origin: "/" + parentOf(e.Path)}
		p := &process{c: c, l: l, main: root, loaded: []*object{root}, library: true}
		p.self = &object{libFile: libFile{at: l.at, path: l.at, binary: l.binary}, names: []string{"/" + l.at}}
		v, err := p.run()
		if err != nil {
			return err
		}
		for _, r := range v.reasons {
			c.warn(Library, "/"+e.Path, r)
		}
		return nil
	})
}

// usualLoader returns the loader that most programs for a machine use, or nil.
func (c *checker) usualLoader(m machine) *loader {
	var usual *loader
	for _, l := range c.loaders {
		if l.machine == m && (usual == nil || l.users > usual.users || l.users == usual.users && l.at < usual.at) {
			usual = l
		}
	}
	return usual
}

// providedElsewhere reports whether a library that o needs may already be loaded in a real program:
// a program of PATH loads it, or it is in the same store object as o.
func (c *checker) providedElsewhere(o *object, name string) bool {
	if c.sonames[name] {
		return true
	}
	root := c.objectOf(o.path)
	return root != "" && slices.ContainsFunc(c.libraries[name], func(at string) bool { return c.objectOf(at) == root })
}

// objectOf returns the store object that contains a path, or "".
func (c *checker) objectOf(name string) string {
	base, _, ok := c.store.Cut(name)
	if !ok {
		return ""
	}
	return c.store.Object(base)
}

// checkNames warns of files that name store objects which are not in the image.
func (c *checker) checkNames() error {
	there := make(map[string]bool)
	for _, name := range c.files.Names(c.store.Root()) {
		there[name[:min(len(name), digestLen)]] = true
	}
	for _, contents := range c.contents {
		for base, first := range contents.Names {
			if !there[base[:digestLen]] {
				c.warn(Reference, "/"+first.Path, fmt.Sprintf("names %q, which is not in the image", c.store.String()+"/"+base))
			}
		}
	}
	return nil
}
