package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/ocilayout/registry"
)

// findLogins lists the registries with a login, in the order in which image looks for one.
func (d *doctor) findLogins() {
	files, err := authFiles()
	if err != nil {
		d.problem(aboutRegistry, "unset REGISTRY_AUTH_FILE, or log in: podman login REGISTRY", "read logins: %v", err)
	}
	for _, file := range files {
		list, err := registry.ListLogins(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, fs.ErrPermission):
			d.problem(aboutRegistry, "name another file in REGISTRY_AUTH_FILE", "%v", err)
			continue
		case err != nil:
			d.problem(aboutRegistry, "move the file away and log in again: podman login REGISTRY", "%v", err)
			continue
		}
		d.addLogins(file, list)
	}
}

// addLogins adds the logins of a file: those in it, and those of its credential helpers.
func (d *doctor) addLogins(file string, list *registry.LoginList) {
	for _, name := range slices.Sorted(maps.Keys(list.Helpers)) {
		d.addHelper(foundLogin{name, file, list.Helpers[name]})
	}
	for _, name := range list.Registries {
		if !isPlain(name) {
			list.Damaged = append(list.Damaged, name)
			continue
		}
		d.Logins = append(d.Logins, foundLogin{Registry: name, File: file})
	}
	for _, name := range list.Damaged {
		again := "log in again: podman login REGISTRY"
		if isPlain(name) {
			again = "log in again: podman login " + shellWord(name)
		}
		d.problem(aboutRegistry, again, "read login for %q in %q: its entry is damaged", name, file)
	}
	if list.Store != "" {
		d.addHelper(foundLogin{"", file, list.Store})
	}
}

// addHelper adds a login of a credential helper, which must be in PATH.
func (d *doctor) addHelper(l foundLogin) {
	program := "docker-credential-" + l.Helper
	if !isPlain(l.Registry) || !isPlain(l.Helper) {
		d.problem(aboutRegistry, "correct the file", "%q names the credential helper %q for the registry %q", l.File, l.Helper, l.Registry)
		return
	}
	if l.Helper != filepath.Base(l.Helper) {
		d.problem(aboutRegistry, "name only the end of the program's name, as in osxkeychain", "%q names the credential helper %q, which is a path", l.File, l.Helper)
		return
	}
	if _, err := exec.LookPath(program); err != nil {
		d.problem(aboutRegistry, fmt.Sprintf("install it, or remove its name from %s and log in again", l.File),
			"%q names the credential helper %q, which is not in PATH", l.File, program)
		return
	}
	l.Helper = program
	d.Logins = append(d.Logins, l)
}

// place says where a login is.
func (l foundLogin) place() string {
	if l.Helper != "" {
		return l.Helper + ", as " + shortPath(l.File) + " says"
	}
	return shortPath(l.File)
}

// shortPath writes a path in the home directory as ~/…, and quotes an odd one.
func shortPath(name string) string {
	if home, err := os.UserHomeDir(); err == nil && home != "/" {
		if rest, ok := strings.CutPrefix(name, strings.TrimSuffix(home, "/")+"/"); ok {
			return "~/" + strings.Trim(shellWord(rest), "'")
		}
	}
	return shellWord(name)
}
