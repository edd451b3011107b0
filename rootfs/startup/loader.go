package startup

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// loader is a dynamic loader, as an image has it.
type loader struct {
	at      string // its path without links
	machine machine
	binary  *binaryFile
	musl    bool

	// glibc's, which it was built with
	defaultDirs []string            // with a slash before and none at the end
	lib         string              // $LIB
	cache       map[string][]string // what ld.so.cache has, by soname
	preload     []string            // what ld.so.preload names

	users int // programs that name it
}

// loader finds out which loader an ELF interpreter is. What is built into it is found in its bytes.
func (c *checker) loader(e rootfs.LowerEntry, b *binaryFile) (*loader, error) {
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
	if l.lib = strings.TrimPrefix(l.defaultDirs[0], "/"); strings.HasPrefix(l.defaultDirs[0], storePrefix) {
		l.lib = path.Base(l.defaultDirs[0])
	}
	cache, err := c.readNamed(builtInPath(content, "/ld.so.cache", "/etc/ld.so.cache"))
	if err != nil {
		return nil, err
	}
	l.cache = parseCache(cache, b.Machine)
	preload, err := c.readNamed(builtInPath(content, ".so.preload", "/etc/ld.so.preload"))
	if err != nil {
		return nil, err
	}
	l.preload = strings.FieldsFunc(string(preload), func(r rune) bool { return strings.ContainsRune(" \t\n:", r) })
	return l, nil
}

// readNamed is a file that a loader reads if it is there.
func (c *checker) readNamed(name string) ([]byte, error) {
	e, err := c.stat(strings.TrimPrefix(name, "/"))
	if err != nil || !e.IsRegular() || e.Other {
		return nil, nil
	}
	return c.read(e, maxRead)
}

// systemDirs are the directories that a glibc's loader searches when all else fails.
// It has them as names that end with a slash, each followed by a NUL, one after the other (SYSTEM_DIRS).
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
		// The next one begins behind a NUL.
		nul := bytes.IndexByte(content[min(i, len(content)):], 0)
		if nul < 0 {
			break
		}
		i += nul + 1
	}
	return best
}

// isPlain says whether all bytes are those of a file's name that people can read.
func isPlain(name []byte) bool {
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// builtInPath is the absolute path with an ending that is somewhere in a loader.
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

// libFile is a library that was found.
type libFile struct {
	at     string // the path by which it was found, from which its $ORIGIN comes
	path   string // without links
	binary *binaryFile
	why    string // it cannot be loaded, if that ends the search
}

// object is what is loaded for one program.
type object struct {
	libFile
	names  []string // under which it was asked for
	by     *object  // who asked first
	origin string   // $ORIGIN, absolute
}

// called says how people call an object.
func (o *object) called() string { return fmt.Sprintf("%q", "/"+o.path) }

// loading is one program on its way to being started.
type loading struct {
	c      *checker
	l      *loader
	main   *object
	loaded []*object // breadth first, the main program first, the loader itself apart
	self   *object   // the loader
	v      verdict

	// library says that main is none that a program has loaded up to now. Of such a one only itself counts,
	// and who loads it may have loaded something else before.
	library bool
}

// load is the verdict of a loader, whose path is interp, on a program.
func (c *checker) load(l *loader, interp string, e rootfs.LowerEntry, b *binaryFile) (*verdict, error) {
	main := &object{libFile: libFile{at: e.Path, path: e.Path, binary: b}, origin: "/" + parentOf(e.Path)}
	self := &object{libFile: libFile{at: interp, path: l.at, binary: l.binary}, names: []string{"/" + interp}}
	p := &loading{c: c, l: l, main: main, loaded: []*object{main}, self: self}
	return p.run()
}

func (p *loading) run() (*verdict, error) {
	if p.l.musl {
		return p.byMusl()
	}
	return p.byGlibc()
}

// loadAll loads what the main program and all that is loaded need, which the loader finds in its own way.
func (p *loading) loadAll(need func(by *object, name string) (*object, error)) error {
	for i := 0; i < len(p.loaded); i++ {
		o := p.loaded[i]
		for _, name := range o.binary.Needed {
			had, err := need(o, name)
			switch {
			case err != nil:
				return err
			case had == nil:
				p.lacks(o, name)
			case had.why != "":
				p.fail(o, "needs %q for %s, and %q %s", name, o.called(), "/"+had.path, had.why)
			}
		}
	}
	return nil
}

// fail adds a reason that is about an object.
func (p *loading) fail(o *object, format string, args ...any) {
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

// finish adds what was loaded to the verdict.
func (p *loading) finish() *verdict {
	p.v.uses = append(p.v.uses, p.l.at)
	for _, o := range p.loaded {
		p.v.uses = append(p.v.uses, o.path)
	}
	return &p.v
}

// lacks adds a library that was not found to the verdict.
func (p *loading) lacks(o *object, name string) {
	if p.library && p.c.providedElsewhere(o, name) {
		return
	}
	who := "it"
	if o != p.main {
		who = o.called()
	}
	why := fmt.Sprintf("needs %q, which is in no directory where the loader looks for %s", name, who)
	if at := p.c.library[path.Base(name)]; strings.Contains(name, "/") {
		why = fmt.Sprintf("needs %q for %s, which is not there", name, who)
	} else if len(at) > 0 {
		why += fmt.Sprintf("; there is %q", "/"+at[0])
	}
	p.fail(o, "%s", why)
}

// libraryAt is the library at a path, or nil if nothing is there that the loader would look at.
func (c *checker) libraryAt(name string) (*libFile, error) {
	e, err := c.stat(name)
	if err != nil || !c.account.may(e.Entry, 0o4) || c.closed(e.Path) != "" {
		return nil, nil
	}
	f := &libFile{at: name, path: e.Path}
	if !e.IsRegular() || e.Other {
		f.why = "is no regular file"
		return f, nil
	}
	s, err := c.startable(e)
	if err != nil {
		return nil, err
	}
	switch f.binary = s.Binary; {
	case s.Binary == nil:
		f.why = "is no ELF file"
	case s.Binary.Damage != "":
		f.why = "is damaged: " + s.Binary.Damage
	}
	return f, nil
}
