package startup

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// loader is a dynamic loader in the image.
type loader struct {
	at      string // its path without links
	machine machine
	binary  *binaryFile
	musl    bool

	// Built into or read by glibc's loader.
	defaultDirs []string            // absolute, without a slash at the end
	lib         string              // $LIB
	cache       map[string][]string // paths in ld.so.cache by soname
	preload     []string            // names in ld.so.preload

	users int // number of programs that use it
}

// findLoader identifies the loader that an ELF interpreter is, and finds its built-in settings in its bytes.
func (c *checker) findLoader(e rootfs.LowerEntry, b *binaryFile) (*loader, error) {
	l := c.loaders[e.Path]
	if l != nil {
		l.users++
		return l, nil
	}
	l = &loader{at: e.Path, machine: b.Machine, binary: b, users: 1}
	content, err := c.read(e, maxRead)
	if err != nil {
		return nil, err
	}
	c.loaders[e.Path] = l
	if bytes.Contains(content, []byte("musl libc")) {
		l.musl = true
		return l, nil
	}
	l.defaultDirs = systemDirs(content)
	if l.defaultDirs == nil {
		l.defaultDirs = []string{"/lib64", "/usr/lib64", "/lib", "/usr/lib"}
		if !b.Machine.Wide {
			l.defaultDirs = l.defaultDirs[2:]
		}
	}
	if l.lib = strings.TrimPrefix(l.defaultDirs[0], "/"); strings.HasPrefix(l.defaultDirs[0], c.store.String()+"/") {
		l.lib = path.Base(l.defaultDirs[0])
	}
	cache, err := c.readIfPresent(builtInPath(content, "/ld.so.cache", "/etc/ld.so.cache"))
	if err != nil {
		return nil, err
	}
	l.cache = parseCache(cache, b.Machine)
	preload, err := c.readIfPresent(builtInPath(content, ".so.preload", "/etc/ld.so.preload"))
	if err != nil {
		return nil, err
	}
	for name := range strings.FieldsFuncSeq(string(preload), func(r rune) bool { return strings.ContainsRune(" \t\n:", r) }) {
		if l.preload = append(l.preload, name); len(l.preload) == maxPreload {
			break
		}
	}
	return l, nil
}

// maxPreload limits the libraries of ld.so.preload. Each program loads them all.
const maxPreload = 100

// readIfPresent reads a file that a loader reads if it exists.
func (c *checker) readIfPresent(name string) ([]byte, error) {
	e, err := c.stat(strings.TrimPrefix(name, "/"))
	if err != nil || !e.IsRegular() || e.Other {
		return nil, nil
	}
	return c.read(e, maxRead)
}

// systemDirs finds the directories that glibc's loader searches last (SYSTEM_DIRS).
// The loader holds them as consecutive strings that end with a slash and a NUL.
func systemDirs(content []byte) []string {
	var best []string
	for i := 0; i < len(content); {
		var run []string
		for {
			end := bytes.IndexByte(content[i:min(len(content), i+maxString)], 0)
			if end < 3 || content[i] != '/' || content[i+end-1] != '/' || !isPlain(content[i:i+end]) {
				break
			}
			run = append(run, string(content[i:i+end-1]))
			i += end + 1
		}
		if len(run) > len(best) {
			best = run
		}
		// The next string begins behind a NUL.
		nul := bytes.IndexByte(content[min(i, len(content)):], 0)
		if nul < 0 {
			break
		}
		i += nul + 1
	}
	return best
}

// isPlain reports whether name consists of printable ASCII without spaces.
func isPlain(name []byte) bool {
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// builtInPath finds an absolute path with the given ending in a loader's bytes, or returns otherwise.
func builtInPath(content []byte, ending, otherwise string) string {
	for rest := content; ; {
		i := bytes.Index(rest, append([]byte(ending), 0))
		if i < 0 {
			return otherwise
		}
		start := bytes.LastIndexByte(rest[:i], 0) + 1
		if name := rest[start : i+len(ending)]; name[0] == '/' && isPlain(name) && len(name) <= maxString {
			return string(name)
		}
		rest = rest[i+len(ending):]
	}
}

// libFile is a library as a search found it.
type libFile struct {
	at     string // the path that was searched; its directory is $ORIGIN
	path   string // without links
	binary *binaryFile
	why    string // why it cannot be loaded, although the search ends with it
}

// object is an ELF file that is loaded for a program.
type object struct {
	libFile
	names  []string // names by which it was requested
	by     *object  // the first object that requested it
	origin string   // $ORIGIN, absolute
}

// quoted returns the object's path for messages.
func (o *object) quoted() string { return fmt.Sprintf("%q", "/"+o.path) }

// process is a program while its loader loads its libraries.
type process struct {
	c      *checker
	l      *loader
	main   *object
	loaded []*object // breadth first, the main program first, the loader itself apart
	self   *object   // the loader
	v      verdict

	// library means that main is a library that no program loads. Then only faults of main itself count,
	// since a program that loads it may have loaded other libraries before.
	library bool
}

// load returns the verdict of the loader at the path interp on a program.
func (c *checker) load(l *loader, interp string, e rootfs.LowerEntry, b *binaryFile) (*verdict, error) {
	main := &object{libFile: libFile{at: e.Path, path: e.Path, binary: b}, origin: "/" + parentOf(e.Path)}
	self := &object{libFile: libFile{at: interp, path: l.at, binary: l.binary}, names: []string{"/" + interp}}
	p := &process{c: c, l: l, main: main, loaded: []*object{main}, self: self}
	return p.run()
}

func (p *process) run() (*verdict, error) {
	if p.l.musl {
		return p.loadMusl()
	}
	return p.loadGlibc()
}

// loadAll loads the libraries that the main program and every loaded library need. need finds them.
func (p *process) loadAll(need func(by *object, name string) (*object, error)) error {
	for i := 0; i < len(p.loaded); i++ {
		o := p.loaded[i]
		for _, name := range o.binary.Needed {
			had, err := need(o, name)
			switch {
			case err != nil:
				return err
			case had == nil:
				p.failMissing(o, name)
			case had.why != "":
				p.fail(o, "needs %q for %s, but %q %s", name, o.quoted(), "/"+had.path, had.why)
			}
		}
	}
	return nil
}

// fail adds a reason about an object to the verdict.
func (p *process) fail(o *object, format string, args ...any) {
	if !p.library || o == p.main {
		p.v.reasons = append(p.v.reasons, fmt.Sprintf(format, args...))
	}
}

func parentOf(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i]
	}
	return ""
}

// finish adds the loaded files to the verdict and returns it.
func (p *process) finish() *verdict {
	p.v.uses = append(p.v.uses, p.l.at)
	for _, o := range p.loaded {
		p.v.uses = append(p.v.uses, o.path)
	}
	return &p.v
}

// failMissing adds a library that was not found to the verdict.
func (p *process) failMissing(o *object, name string) {
	if p.library && p.c.providedElsewhere(o, name) || isDriver(name) && len(p.c.libraries[name]) == 0 {
		return // checkDriver warns of it
	}
	forWhat := ""
	if o != p.main {
		forWhat = " for " + o.quoted()
	}
	why := fmt.Sprintf("needs %q%s, which the loader does not find", name, forWhat)
	if at := p.c.libraries[path.Base(name)]; strings.Contains(name, "/") {
		why = fmt.Sprintf("needs %q%s, which does not exist", name, forWhat)
	} else if len(at) > 0 {
		why += fmt.Sprintf("; it does not look at %q", "/"+at[0])
	}
	p.fail(o, "%s", why)
}

// libraryAt returns the library at a path, or nil if the loader would ignore that path.
func (c *checker) libraryAt(name string) (*libFile, error) {
	e, err := c.stat(name)
	if err != nil || !c.account.may(e.Entry, 0o4) || c.closedDir(e.Path) != "" {
		return nil, nil
	}
	f := &libFile{at: name, path: e.Path}
	if !e.IsRegular() || e.Other {
		f.why = "is not a regular file"
		return f, nil
	}
	s, err := c.startable(e)
	if err != nil {
		return nil, err
	}
	switch f.binary = s.Binary; {
	case s.Binary == nil:
		f.why = "is not an ELF file"
	case s.Binary.Damage != "":
		f.why = "is damaged: " + s.Binary.Damage
	}
	return f, nil
}
