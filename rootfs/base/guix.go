package base

import (
	"fmt"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// Packages of Guix find much by variables, which etc/profile in a profile sets. So their images need these variables, as those of guix pack have them.

// guixPaths returns PATH with the directories that Guix has in it, and GUIX_LOCPATH if there are locales.
func (b *builder) guixPaths(profiles []string) []string {
	for _, p := range profiles {
		_, err := b.view.Stat(p + "/bin")
		if system, systemErr := b.view.Stat(p + "/profile/bin"); leadsNowhere(err) && systemErr == nil && system.IsDir() {
			b.note("%q has no programs in PATH: it is a system, whose packages are in %q", "/"+p, "/"+p+"/profile")
		}
	}
	env := []string{"PATH=" + b.listDirs(profiles, "bin", "sbin")}
	if locales := b.listDirs(profiles, "lib/locale"); locales != "" {
		env = append(env, "GUIX_LOCPATH="+locales)
	}
	return env
}

// listDirs lists those directories that profiles have, first below /run/profile, then in the profiles: for a container with a mount over /run.
// The first directory is bin, which is always listed, or the only one.
func (b *builder) listDirs(profiles []string, dirs ...string) string {
	var all, own []string
	for _, p := range profiles {
		for _, d := range dirs {
			e, err := b.view.Stat(p + "/" + d)
			if d != "bin" && (err != nil || !e.IsDir()) {
				continue
			}
			if place := "/" + runProfile + "/" + d; !slices.Contains(all, place) {
				all = append(all, place)
			}
			own = append(own, "/"+p+"/"+d)
		}
	}
	return strings.Join(append(all, own...), ":")
}

// maxProfileScript limits etc/profile. A profile with a hundred search paths has 20 KB.
const maxProfileScript = 1 << 20

// addSearchPaths adds the variables that etc/profile in the profiles sets, except those that env has.
func (b *builder) addSearchPaths(env, profiles []string) ([]string, error) {
	had := make(map[string]bool)
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		had[name] = true
	}
	var names []string
	values := make(map[string]searchPath)
	for _, p := range profiles {
		paths, err := b.searchPaths(p)
		if err != nil {
			return nil, err
		}
		for _, s := range paths {
			if had[s.name] {
				continue
			}
			all, ok := values[s.name]
			switch {
			case !ok:
				names = append(names, s.name)
				all = s
			case s.separator != "" && s.separator == all.separator:
				all.paths = append(all.paths, s.paths...)
			case !slices.Equal(s.paths, all.paths):
				b.note("left out the variable %q of %q: it has one path, and another profile sets it", s.name, "/"+p)
			}
			values[s.name] = all
		}
	}
	for _, name := range names {
		env = append(env, name+"="+strings.Join(values[name].paths, values[name].separator))
	}
	return env, nil
}

// searchPaths returns the variables that etc/profile in a profile sets. Those that name its certificates name the image's instead.
func (b *builder) searchPaths(profile string) ([]searchPath, error) {
	e, err := b.view.Stat(profile + "/etc/profile")
	if leadsNowhere(err) || err == nil && !e.IsRegular() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if e.Size > maxProfileScript {
		return nil, fmt.Errorf("read search paths: %q has more than %d bytes", "/"+e.Path, maxProfileScript)
	}
	read, err := b.view.Read(maxProfileScript, e.Path)
	if err != nil {
		return nil, fmt.Errorf("read search paths: %w", err)
	}
	content := string(read[e.Path])
	if !strings.Contains(content, "${GUIX_PROFILE:-/"+profile+"}") {
		return nil, nil // a package's own, or no profile
	}
	paths, strange := parseSearchPaths(content, "/"+profile)
	for _, name := range strange {
		b.note("left out the variable %q: %q sets it in a way that Guix does not", name, "/"+e.Path)
	}
	const certificates = "etc/ssl/certs"
	for _, s := range paths {
		for i, path := range s.paths {
			if rest, ok := strings.CutPrefix(path, "/"+profile+"/"+certificates); ok && b.has(certificates) && (rest == "" || b.has(certificates+rest)) {
				s.paths[i] = "/" + certificates + rest
			}
		}
	}
	return paths, nil
}

// joinCertificates makes the bundle of profiles whose certificates are only in files of their own, as without Guix's profile hook.
func (b *builder) joinCertificates(profiles []string) error {
	if b.has(guixBundle) {
		return nil
	}
	var bundle []byte
	seen := make(map[string]bool)
	for _, p := range profiles {
		dir, err := b.view.Stat(p + "/" + rootfs.Parent(guixBundle))
		if leadsNowhere(err) || err == nil && !dir.IsDir() {
			continue
		}
		if err != nil {
			return err
		}
		names, err := b.view.Names(dir.Path)
		if err != nil {
			return err
		}
		var files []string
		size := int64(len(bundle))
		for name := range names {
			if !strings.HasSuffix(name, ".pem") {
				continue
			}
			e, err := b.view.StatAt(dir, name)
			if leadsNowhere(err) || err == nil && !e.IsRegular() {
				continue
			}
			if err != nil {
				return err
			}
			if seen[e.Path] {
				continue
			}
			seen[e.Path] = true
			if size += e.Size + 1; size > maxBundle {
				return fmt.Errorf("join certificates: those in %q have more than %d bytes", "/"+dir.Path, maxBundle)
			}
			files = append(files, e.Path)
		}
		contents, err := b.view.Read(maxBundle, files...)
		if err != nil {
			return fmt.Errorf("join certificates: %w", err)
		}
		for _, path := range files {
			bundle = append(append(bundle, contents[path]...), '\n')
		}
	}
	if len(bundle) > 0 {
		b.putFileOver(rootfs.File(guixBundle, 0o444, 0, nil), bundle)
	}
	return nil
}
