package startup

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// loadGlibc follows glibc's loader (elf/rtld.c, dl-deps.c, dl-load.c, dl-version.c of 2.36 to 2.41).
func (p *process) loadGlibc() (*verdict, error) {
	if p.l.binary.Soname != "" {
		p.self.names = append(p.self.names, p.l.binary.Soname)
	}
	preload := strings.FieldsFunc(p.c.env["LD_PRELOAD"], func(r rune) bool { return r == ' ' || r == ':' })
	for i, name := range slices.Concat(preload, p.l.preload) {
		o, err := p.need(p.main, name)
		if err != nil {
			return nil, err
		}
		if o == nil || o.why != "" { // the loader complains and goes on
			from := "LD_PRELOAD"
			if i >= len(preload) {
				from = "ld.so.preload"
			}
			p.c.warn(Preload, name, from+" names it, but no "+p.l.machine.String()+" program can load it")
		}
	}
	if err := p.loadAll(p.need); err != nil {
		return nil, err
	}
	for _, o := range append(p.loaded, p.self) {
		p.checkVersions(o)
	}
	return p.finish(), nil
}

// need returns the object that is loaded under a name for by. It may already be loaded. It is nil if nothing is found.
func (p *process) need(by *object, name string) (*object, error) {
	for _, o := range append(p.loaded, p.self) {
		if slices.Contains(o.names, name) {
			return o, nil
		}
		if o.binary.Soname == name {
			o.names = append(o.names, name)
			return o, nil
		}
	}
	f, err := p.find(by, name)
	if f == nil || err != nil {
		return nil, err
	}
	for _, o := range append(p.loaded, p.self) {
		if o.path == f.path { // the same file under another name
			o.names = append(o.names, name)
			return o, nil
		}
	}
	o := &object{libFile: *f, names: []string{name, "/" + f.at}, by: by, origin: "/" + parentOf(f.at)}
	if o.why == "" {
		o.why = whyNotLibrary(o.binary)
	}
	if f.why == "" {
		p.loaded = append(p.loaded, o)
	}
	return o, nil
}

// find searches for a library.
func (p *process) find(by *object, name string) (*libFile, error) {
	if strings.Contains(name, "/") {
		name, ok := p.expand(by, name)
		if !ok {
			return nil, nil
		}
		f, err := p.c.libraryAt(p.c.absolute(name))
		if f != nil && !f.isFor(p.l.machine) {
			f.why = fmt.Sprintf("is for %v, but the program for %v", f.binary.Machine, p.l.machine)
		}
		return f, err
	}
	var lists []*dirList
	if !by.binary.HasRunpath {
		// RPATH counts for each object in the chain that has no RUNPATH, and always for the program.
		sawMain := false
		for o := by; o != nil; o = o.by {
			if o.binary.Rpath != "" {
				lists = append(lists, p.dirs(o, o.binary.Rpath, ":"))
			}
			sawMain = sawMain || o == p.main
		}
		if !sawMain && p.main.binary.Rpath != "" {
			lists = append(lists, p.dirs(p.main, p.main.binary.Rpath, ":"))
		}
	}
	if paths := p.c.env["LD_LIBRARY_PATH"]; paths != "" {
		lists = append(lists, p.dirs(p.main, paths, ":;"))
	}
	if by.binary.Runpath != "" {
		lists = append(lists, p.dirs(by, by.binary.Runpath, ":"))
	}
	for _, list := range lists {
		if f, err := p.c.searchDirs(list, p.l.machine, name); f != nil || err != nil {
			return f, err
		}
	}
	for _, cached := range p.l.cache[name] {
		if by.binary.NoDefaultLib && slices.Contains(p.l.defaultDirs, "/"+parentOf(strings.TrimPrefix(cached, "/"))) {
			continue
		}
		f, err := p.c.libraryAt(p.c.absolute(cached))
		if err != nil || f != nil && f.isFor(p.l.machine) {
			return f, err
		}
	}
	if by.binary.NoDefaultLib {
		return nil, nil
	}
	return p.c.searchDirs(p.c.dirList(p.l.defaultDirs), p.l.machine, name)
}

// expand replaces $ORIGIN, $LIB and $PLATFORM. It returns false if the loader ignores the whole entry.
func (p *process) expand(o *object, s string) (string, bool) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "$")
		b.WriteString(before)
		if !found {
			return b.String(), true
		}
		name, rest := "", after
		if braced, ok := strings.CutPrefix(after, "{"); ok {
			if inner, behind, ok := strings.Cut(braced, "}"); ok {
				name, rest = inner, behind
			}
		} else {
			end := strings.IndexFunc(after, func(r rune) bool {
				return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_'
			})
			if end < 0 {
				end = len(after)
			}
			name, rest = after[:end], after[end:]
		}
		switch name {
		case "ORIGIN":
			b.WriteString(o.origin)
		case "LIB":
			b.WriteString(p.l.lib)
		case "PLATFORM":
			platform := p.l.machine.platform()
			if platform == "" {
				return "", false
			}
			b.WriteString(platform)
		default: // unknown names stay
			b.WriteByte('$')
			rest = after
		}
		s = rest
	}
}

// dirList is a list of directories to search in order. Equal lists share one pointer.
type dirList struct {
	dirs []string // without the leading slash
}

func (c *checker) dirList(dirs []string) *dirList {
	key := strings.Join(dirs, "\x00")
	if l := c.dirLists[key]; l != nil {
		return l
	}
	l := &dirList{}
	for _, d := range dirs {
		l.dirs = append(l.dirs, c.absolute(strings.TrimRight(d, "/")))
	}
	c.dirLists[key] = l
	return l
}

// dirs returns the directories of a search path. An empty element is the current directory.
func (p *process) dirs(o *object, searched, separators string) *dirList {
	var dirs []string
	for _, dir := range splitAny(searched, separators) {
		if dir, ok := p.expand(o, cmp.Or(dir, ".")); ok {
			dirs = append(dirs, dir)
		}
	}
	return p.c.dirList(dirs)
}

// splitAny splits like strings.Split, but at any of the separators.
func splitAny(s, separators string) []string {
	var words []string
	for {
		i := strings.IndexAny(s, separators)
		if i < 0 {
			return append(words, s)
		}
		words, s = append(words, s[:i]), s[i+1:]
	}
}

// isFor reports whether a loader for m stops at this file, be it to load it or to fail. Otherwise it skips the file.
func (f *libFile) isFor(m machine) bool {
	if f.binary == nil || f.binary.Machine.ID == 0 {
		return true
	}
	is := f.binary.Machine
	if is.Wide == m.Wide && is.Big != m.Big && f.why == "" {
		f.why = "has another byte order"
	}
	return is.Wide == m.Wide && (is.Big != m.Big || is.ID == m.ID)
}

// whyNotLibrary says why glibc does not load an ELF file, or returns "".
func whyNotLibrary(b *binaryFile) string {
	switch {
	case b.Type != typeDyn && b.Type != typeExec:
		return "is an ELF file, but not a library"
	case b.Type == typeExec, b.PIE:
		return "is a program, not a library"
	}
	return ""
}

type searchKey struct {
	list    *dirList
	machine machine
	name    string
}

// searchDirs returns the first library of a name in the directories that is for m, and skips others.
// A file that is not ELF ends the search and fails the program.
func (c *checker) searchDirs(list *dirList, m machine, name string) (*libFile, error) {
	key := searchKey{list, m, name}
	if f, ok := c.found[key]; ok {
		return f, nil
	}
	var found *libFile
	for _, dir := range list.dirs {
		f, err := c.libraryAt(strings.TrimPrefix(dir+"/"+name, "/"))
		if err != nil {
			return nil, err
		}
		if f != nil && f.isFor(m) {
			found = f
			break
		}
	}
	if found == nil {
		var err error
		if found, err = c.searchCapabilities(list, m, name); err != nil {
			return nil, err
		}
	}
	c.found[key] = found
	return found, nil
}

// hwcaps lists the subdirectories of glibc-hwcaps for more capable processors.
var hwcaps = map[string][]string{
	"amd64":   {"x86-64-v2", "x86-64-v3", "x86-64-v4"},
	"ppc64le": {"power9", "power10"},
	"s390x":   {"z13", "z14", "z15", "z16"},
}

// searchCapabilities searches glibc-hwcaps, which a loader does only on some processors.
func (c *checker) searchCapabilities(list *dirList, m machine, name string) (*libFile, error) {
	for _, dir := range list.dirs {
		for _, capability := range hwcaps[m.arch()] {
			at := strings.TrimPrefix(dir+"/glibc-hwcaps/"+capability+"/"+name, "/")
			f, err := c.libraryAt(at)
			if err != nil {
				return nil, err
			}
			if f != nil && f.isFor(m) {
				c.warn(Library, "/"+at, fmt.Sprintf("is the only %q there, and only %s processors load it", name, capability))
				return f, nil
			}
		}
	}
	return nil, nil
}

// checkVersions checks that libraries define the versions that an object needs from them.
func (p *process) checkVersions(o *object) {
	for _, w := range o.binary.Wanted {
		if w.Weak {
			continue
		}
		for _, of := range append(p.loaded, p.self) {
			if !slices.Contains(of.names, w.Library) {
				continue
			}
			if len(of.binary.Defined) > 0 && !slices.Contains(of.binary.Defined, w.Version) {
				p.fail(o, "%s needs version %s of %s, which %s does not have", o.quoted(), w.Version, w.Library, of.quoted())
			}
			break
		}
	}
}
