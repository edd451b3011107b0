package startup

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/export-profile/export-profile/rootfs"
)

// This file finds what programs miss from the system around them.
// They start without it, so every problem here is a warning.

// zoneDirs are where programs look for time zones if TZDIR is not set. glibc as Nix builds it looks only in its own package.
var zoneDirs = []string{"usr/share/zoneinfo", "usr/share/lib/zoneinfo", "usr/lib/zoneinfo", "share/zoneinfo", "etc/zoneinfo"}

// posixZone matches a time zone that POSIX describes without a file, such as CET-1CEST.
var posixZone = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(<[^>]*>|[A-Za-z]{3,})[+-]?[0-9]`)
})

// utcZones are names of UTC, for which programs need no file.
var utcZones = []string{"UTC", "UCT", "GMT", "Zulu", "Universal", "Greenwich", "Etc/UTC", "Etc/UCT", "Etc/GMT", "Etc/Zulu", "Etc/Universal", "Etc/Greenwich"}

// checkZone warns if the image lacks the time zone in TZ: then programs silently use UTC.
func (c *checker) checkZone() error {
	value := c.env["TZ"]
	name := strings.TrimPrefix(value, ":")
	if name == "" || slices.Contains(utcZones, name) || posixZone().MatchString(name) {
		return nil
	}
	say := func(format string, args ...any) {
		c.warn(Zone, "TZ="+value, fmt.Sprintf(format, args...)+", so the time is UTC")
	}
	set := c.env["TZDIR"]
	switch {
	case strings.HasPrefix(name, "/"):
		if !c.exists(name) {
			say("%q does not exist", name)
		}
		return nil
	case set != "" && c.exists(set+"/"+name):
		return nil
	case set == "" && slices.ContainsFunc(zoneDirs, func(dir string) bool { return c.exists(dir + "/" + name) }):
		return nil
	}
	if dir := c.inObjects("share/zoneinfo", name); dir != "" {
		say("the zone is in %q, and TZDIR does not name that directory", "/"+dir)
	} else {
		say("the image has no such zone")
	}
	return nil
}

// builtInLocales are the locales that glibc has without files.
var builtInLocales = []string{"", "C", "POSIX", "C.UTF-8", "C.utf8", "C.UTF8", "C.utf-8"}

const localeArchive = "lib/locale/locale-archive"

// checkLocale warns if the image lacks the locale in LANG or LC_*: then programs of glibc silently use the locale C.
func (c *checker) checkLocale() error {
	var names []string
	for name, value := range c.env {
		if (name == "LANG" || strings.HasPrefix(name, "LC_")) && !slices.Contains(builtInLocales, value) {
			names = append(names, name)
		}
	}
	glibc := false
	for _, l := range c.loaders {
		glibc = glibc || !l.musl
	}
	if len(names) == 0 || !glibc || c.hasLocales() {
		return nil
	}
	slices.Sort(names)
	why := "the image has no locale archive"
	if dir := c.inObjects(path.Dir(localeArchive), path.Base(localeArchive)); dir != "" {
		why = fmt.Sprintf("the locale archive is %q, and LOCALE_ARCHIVE does not name it", "/"+dir+"/"+path.Base(localeArchive))
	}
	for _, name := range names {
		c.warn(Locale, name+"="+c.env[name], why+", so programs use the locale C")
	}
	return nil
}

// hasLocales reports whether glibc finds locales: in a file or directory of the environment, in /usr/lib/locale, or in its own package.
func (c *checker) hasLocales() bool {
	for name, value := range c.env {
		if (name == "LOCPATH" || name == "LOCALE_ARCHIVE" || strings.HasPrefix(name, "LOCALE_ARCHIVE_")) && value != "" && c.exists(value) {
			return true
		}
	}
	if slices.ContainsFunc(strings.Split(c.env["GUIX_LOCPATH"], ":"), func(dir string) bool { return dir != "" && c.exists(dir) }) {
		return true
	}
	for _, dir := range []string{"usr/lib/locale", "usr/lib64/locale"} {
		if e, err := c.stat(dir); err == nil && slices.ContainsFunc(c.files.Names(e.Path), func(name string) bool {
			return !strings.HasPrefix(name, "C.")
		}) {
			return true
		}
	}
	for _, l := range c.loaders {
		if root := c.objectOf(l.at); root != "" && c.exists(root+"/"+localeArchive) {
			return true
		}
	}
	return false
}

func (c *checker) exists(name string) bool {
	_, err := c.stat(strings.TrimLeft(name, "/"))
	return err == nil
}

// inObjects returns the first directory of that name in a store object that has a file, or "".
func (c *checker) inObjects(dir, file string) string {
	for _, name := range c.files.Names(c.store.Root()) {
		if at := c.store.Object(name) + "/" + dir; c.exists(at + "/" + file) {
			return at
		}
	}
	return ""
}

// driverDir is where NixOS puts the host's driver for graphics and CUDA.
const driverDir = "/run/opengl-driver"

// isDriver reports whether a library belongs to the host's driver, which container runtimes mount: it has to fit the kernel.
func isDriver(name string) bool {
	return slices.ContainsFunc([]string{"libcuda.so", "libnvcuvid.so", "libnvidia-", "libnvoptix.so"}, func(p string) bool {
		return strings.HasPrefix(name, p)
	})
}

// checkDriver warns of programs and libraries that need the host's driver.
func (c *checker) checkDriver() error {
	mounted := c.exists(driverDir)
	return c.eachFile(func(e rootfs.LowerEntry, s *startable) error {
		b := s.Binary
		if b == nil || b.Damage != "" || !runs(c.config.Architecture, b.Machine) {
			return nil
		}
		for _, name := range b.Needed {
			if isDriver(name) && len(c.libraries[name]) == 0 {
				c.warn(Driver, "/"+e.Path, fmt.Sprintf("needs %q of the host's driver, which the container has to get from the host", name))
				return nil
			}
		}
		if !mounted && slices.ContainsFunc(strings.Split(cmp.Or(b.Runpath, b.Rpath), ":"), func(dir string) bool {
			return strings.HasPrefix(dir, driverDir+"/") || dir == driverDir
		}) {
			c.warn(Driver, "/"+e.Path, fmt.Sprintf("looks for the host's driver in %q, which the container has to get from the host", driverDir))
		}
		return nil
	})
}

// checkReadable warns of store objects that the user cannot read.
func (c *checker) checkReadable() error {
	if c.account.uid == 0 {
		return nil
	}
	last := ""
	for e := range c.files.Within(c.store.Root()) {
		root := c.objectOf(e.Path)
		if root == "" || root == last || e.IsLink() {
			continue
		}
		may := c.account.may(e.Entry, 0o4) && (!e.IsDir() || c.account.may(e.Entry, 0o1)) && c.closedDir(e.Path) == ""
		if !may {
			last = root
			c.warn(Unreadable, "/"+e.Path, fmt.Sprintf("user %d cannot read it", c.account.uid))
		}
	}
	return nil
}

// shells are programs that run shell scripts.
var shells = []string{"sh", "bash", "dash", "ash", "ksh", "zsh", "busybox"}

// noShell returns the end of a reason about a shell that does not exist: whether the image has any.
func (c *checker) noShell(name string) string {
	if !slices.Contains(shells, path.Base(name)) {
		return ""
	}
	dirs := append(c.pathDirs(), "bin", "usr/bin")
	for _, shell := range append([]string{path.Base(name)}, shells...) {
		for _, dir := range dirs {
			if at := dir + "/" + shell; c.exists(at) {
				return fmt.Sprintf("; the image has %q", "/"+at)
			}
		}
	}
	return "; the image has no shell"
}
