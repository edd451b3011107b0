package startup

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// muslOwn lists the libraries that musl's loader itself contains, without "lib".
var muslOwn = []string{"c.", "pthread.", "rt.", "m.", "dl.", "util.", "xnet."}

// muslPath is musl's search path without a configuration file.
const muslPath = "/lib:/usr/local/lib:/usr/lib"

// loadMusl follows musl's loader (ldso/dynlink.c of 1.2). It takes the first file of a name, even if that cannot be loaded.
// RPATH and RUNPATH are both inherited. Sonames do not count, and there are no versions.
func (p *process) loadMusl() (*verdict, error) {
	system, err := p.muslSystemPath()
	if err != nil {
		return nil, err
	}
	for _, name := range strings.FieldsFunc(p.c.env["LD_PRELOAD"], func(r rune) bool { return r == ' ' || r == ':' || r == '\t' || r == '\n' }) {
		o, err := p.muslNeed(p.main, name, system)
		if err != nil {
			return nil, err
		}
		if o == nil || o.why != "" { // the loader goes on without it
			p.c.warn(Preload, name, "LD_PRELOAD names it, but no "+p.l.machine.String()+" program can load it")
		}
	}
	err = p.loadAll(func(by *object, name string) (*object, error) { return p.muslNeed(by, name, system) })
	if err != nil {
		return nil, err
	}
	return p.finish(), nil
}

// muslSystemPath reads etc/ld-musl-ARCH.path, next to the directory of the loader.
func (p *process) muslSystemPath() (string, error) {
	name := strings.TrimSuffix(path.Base(p.self.at), ".1")
	name = strings.TrimSuffix(name, ".so")
	if !strings.HasPrefix(name, "ld-musl-") {
		name = "ld-musl-" + p.l.machine.platform()
	}
	file := path.Join("/", parentOf(parentOf(p.self.at)), "etc", name+".path")
	e, err := p.c.stat(strings.TrimPrefix(file, "/"))
	if err != nil {
		return muslPath, nil
	}
	b, err := p.c.read(e, maxMuslPath)
	return string(b), err
}

// maxMuslPath limits the file of directories, in which each library is looked up.
const maxMuslPath = 4 << 10

func (p *process) muslNeed(by *object, name, system string) (*object, error) {
	if rest, ok := strings.CutPrefix(name, "lib"); ok && slices.ContainsFunc(muslOwn, func(own string) bool { return strings.HasPrefix(rest, own) }) {
		return p.self, nil
	}
	var f *libFile
	var err error
	if strings.Contains(name, "/") {
		f, err = p.c.libraryAt(p.c.absolute(name))
	} else {
		for _, o := range p.loaded {
			if len(o.names) > 0 && o.names[0] == name {
				return o, nil
			}
		}
		f, err = p.muslFind(by, name, system)
	}
	if f == nil || err != nil {
		return nil, err
	}
	for _, o := range append(p.loaded, p.self) {
		if o.path == f.path {
			if !strings.Contains(name, "/") && o != p.self && len(o.names) == 0 {
				o.names = []string{name}
			}
			return o, nil
		}
	}
	o := &object{libFile: *f, by: by, origin: "/" + parentOf(f.at)}
	if !strings.Contains(name, "/") {
		o.names = []string{name}
	}
	if o.why == "" && o.binary.Machine != p.l.machine {
		o.why = fmt.Sprintf("is for %v, but the program for %v", o.binary.Machine, p.l.machine)
	}
	if o.why == "" {
		p.loaded = append(p.loaded, o)
	}
	return o, nil
}

// muslFind returns the first file of a name in musl's search order.
func (p *process) muslFind(by *object, name, system string) (*libFile, error) {
	paths := []string{p.c.env["LD_LIBRARY_PATH"]}
	for o := by; o != nil; o = o.by {
		searched := o.binary.Rpath
		if o.binary.HasRunpath {
			searched = o.binary.Runpath
		}
		origin := strings.NewReplacer("$ORIGIN", o.origin, "${ORIGIN}", o.origin)
		if searched = origin.Replace(searched); !strings.Contains(searched, "$") { // musl ignores other variables
			paths = append(paths, searched)
		}
	}
	for _, searched := range append(paths, system) {
		for dir := range strings.FieldsFuncSeq(searched, func(r rune) bool { return r == ':' || r == '\n' }) {
			f, err := p.c.libraryAt(p.c.absolute(dir + "/" + name))
			if f != nil || err != nil {
				return f, err
			}
		}
	}
	return nil, nil
}
