package startup

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// profileRoots returns the store objects whose bin directory is in PATH.
func (c *checker) profileRoots() []string {
	var roots []string
	for _, dir := range c.pathDirs() {
		at, err := c.stat(strings.TrimSuffix(dir, "/bin"))
		if err != nil || dir == at.Path || !strings.HasSuffix(dir, "/bin") {
			continue
		}
		if root := c.objectOf(at.Path); root == at.Path && root != "" && !slices.Contains(roots, root) {
			roots = append(roots, root)
		}
	}
	return roots
}

// kernelDirs are empty in an image, and filled by the kernel in a container.
var kernelDirs = []string{"proc", "sys", "dev"}

// checkLinks finds links that lead nowhere. A dangling link in PATH is an error, and so is one in a profile,
// unless it leads to another link: then that one is at fault.
func (c *checker) checkLinks() error {
	profiles := append(c.profileRoots(), "run/profile")
	var inPath []string
	for _, dir := range c.pathDirs() {
		if at, err := c.stat(dir); err == nil {
			inPath = append(inPath, at.Path)
		}
	}
	for e := range c.files.Within("") {
		if e.Other || !e.IsLink() {
			continue
		}
		if _, err := c.files.Stat(e.Path); err == nil {
			continue
		}
		end, err := c.files.Place(e.Path + "/x")
		if err == nil && slices.ContainsFunc(kernelDirs, func(dir string) bool { return rootfs.Within(dir, end) }) {
			continue
		}
		inProfile := slices.ContainsFunc(profiles, func(root string) bool { return rootfs.Within(root, e.Path) })
		reason := fmt.Sprintf("leads nowhere: %s", e.Target)
		switch {
		case slices.Contains(inPath, parentOf(e.Path)), inProfile && !c.leadsToLink(e):
			c.errorf(ProfileLink, "/"+e.Path, reason)
		default:
			c.warn(Link, "/"+e.Path, reason)
		}
	}
	return nil
}

// leadsToLink reports whether a link's target is another link.
func (c *checker) leadsToLink(e rootfs.LowerEntry) bool {
	target := e.Target
	if !strings.HasPrefix(target, "/") {
		target = parentOf(e.Path) + "/" + target
	}
	at, err := c.files.Place(target)
	if err != nil {
		return false
	}
	next, ok := c.files.Lookup(at)
	return ok && next.IsLink()
}

// maxCompared limits how many pairs of files are compared byte by byte. Further pairs count as different.
const maxCompared = 64

// checkConflicts finds files that hide each other: two profiles have a file of one name,
// or two packages of a profile do.
func (c *checker) checkConflicts() error {
	compared := 0
	profiles := c.profileRoots()
	for i, p := range profiles {
		for _, over := range profiles[:i] {
			if err := c.warnHidden(over, p, &compared); err != nil {
				return err
			}
		}
		packages := make(map[string]bool)
		shown := make(map[string]string) // by path below the profile, the package that it comes from
		for e := range c.files.Within(p) {
			if !e.IsLink() || !strings.HasPrefix(e.Target, c.store.String()+"/") {
				continue
			}
			target := strings.TrimPrefix(e.Target, "/")
			if root := c.objectOf(target); strings.TrimPrefix(target, root) == strings.TrimPrefix(e.Path, p) {
				packages[root] = true
				shown[strings.TrimPrefix(e.Path, p)] = root
			}
		}
		for other := range packages {
			for e := range c.files.Within(other) {
				name := strings.TrimPrefix(e.Path, other)
				winner := shown[name]
				if winner == "" || winner == other || e.IsDir() || c.store.IsGuix() && isOfGuix(name) {
					continue
				}
				if err := c.warnConflict(p+name, winner+name, e.Path, &compared); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// isOfGuix reports whether each profile or package of Guix has a file of its own at a path in it.
// Guix does not warn of them either, when it makes a profile of packages.
func isOfGuix(name string) bool {
	switch name {
	case "/manifest", "/etc/profile", "/etc/ld.so.cache":
		return true
	}
	base := name[strings.LastIndexByte(name, '/')+1:]
	return base == "icon-theme.cache" || base == "gschemas.compiled"
}

// warnHidden warns of files of the profile under that files of the profile over hide.
func (c *checker) warnHidden(over, under string, compared *int) error {
	for e := range c.files.Within(under) {
		name := strings.TrimPrefix(e.Path, under)
		if e.IsDir() || strings.HasPrefix(name, "/manifest.") || c.store.IsGuix() && isOfGuix(name) {
			continue
		}
		if _, ok := c.files.Lookup(over + name); ok {
			if err := c.warnConflict("run/profile"+name, over+name, e.Path, compared); err != nil {
				return err
			}
		}
	}
	return nil
}

// warnConflict warns of two files of one name, unless they are equal.
func (c *checker) warnConflict(at, winner, loser string, compared *int) error {
	a, err := c.stat(winner)
	if err != nil {
		return nil // checkLinks reports it
	}
	b, err := c.stat(loser)
	if err != nil || a.Path == b.Path || a.IsDir() || b.IsDir() || a.Other || b.Other {
		return nil
	}
	if a.Size == b.Size && a.Size <= maxRead && *compared < maxCompared {
		*compared++
		one, err := c.read(a, a.Size)
		if err != nil {
			return err
		}
		two, err := c.read(b, b.Size)
		if err != nil || bytes.Equal(one, two) {
			return err
		}
	}
	c.warn(Conflict, "/"+at, fmt.Sprintf("is %q, and hides %q", "/"+winner, "/"+loser))
	return nil
}
