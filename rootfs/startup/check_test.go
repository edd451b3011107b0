package startup

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/export-profile/export-profile/rootfs"
)

// fileSet is an image by path. An elfFile or a string is an executable file, data is not executable,
// a link is a symbolic link, and nil is a directory.
type fileSet map[string]any

type (
	data   string
	link   string
	secret string   // only its owner, root, may execute it
	closed struct{} // a directory that only root may enter
)

// with returns the files of both sets.
func (s fileSet) with(more fileSet) fileSet {
	all := maps.Clone(s)
	maps.Copy(all, more)
	return all
}

func (s fileSet) entries(t *testing.T) []rootfs.Entry {
	t.Helper()
	all := make(map[string]rootfs.Entry)
	for name, f := range s {
		for i, c := range []byte(name) {
			if c == '/' {
				all[name[:i]] = rootfs.Dir(name[:i], 0o755)
			}
		}
		mode, content := fs.FileMode(0o755), []byte(nil)
		switch f := f.(type) {
		case elfFile:
			content = f.bytes()
		case string:
			content = []byte(f)
		case data:
			mode, content = 0o644, []byte(f)
		case secret:
			mode, content = 0o700, []byte(f)
		case link:
			all[name] = rootfs.Link(name, string(f))
			continue
		case closed:
			all[name] = rootfs.Dir(name, 0o700)
			continue
		case nil:
			all[name] = rootfs.Dir(name, 0o755)
			continue
		default:
			t.Fatalf("%q: unknown kind of file %T", name, f)
		}
		all[name] = rootfs.File(name, mode, int64(len(content)), func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(content)), nil
		})
	}
	return slices.SortedFunc(maps.Values(all), func(a, b rootfs.Entry) int { return rootfs.ComparePaths(a.Path, b.Path) })
}

// part makes a part of the files below root.
func (s fileSet) part(t *testing.T, root string) rootfs.Part {
	t.Helper()
	entries := s.entries(t)
	entries = slices.DeleteFunc(entries, func(e rootfs.Entry) bool { return !rootfs.Within(root, e.Path) })
	return rootfs.Part{Name: cmp.Or(root, "base"), Root: root, Tree: rootfs.TreeOf(entries)}
}

func (s fileSet) check(t *testing.T, c Config) *Report {
	t.Helper()
	return mustCheck(t, &Image{Config: c, Parts: []rootfs.Part{s.part(t, "")}}, Options{References: true})
}

func mustCheck(t *testing.T, image *Image, o Options) *Report {
	t.Helper()
	if image.Config.Architecture == "" {
		image.Config.Architecture = "amd64"
	}
	if image.Config.Env == nil {
		image.Config.Env = []string{"PATH=/bin"}
	}
	r, err := Check(context.Background(), image, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const glibcStrings = "\x00/lib/\x00/usr/lib/\x00\x00/etc/ld.so.cache\x00/etc/ld.so.preload\x00"

var (
	glibcLoader = elfFile{soname: "ld-linux-x86-64.so.2", content: glibcStrings, defined: []string{"GLIBC_2.3"}}
	muslLoader  = elfFile{content: "\x00musl libc (x86_64)\x00"}
	foreign     = elfFile{machine: 183} // arm64
)

// program makes a program for glibc's loader that needs libraries.
func program(needed ...string) elfFile { return elfFile{interp: "/lib/ld.so", needed: needed} }

func musl(needed ...string) elfFile {
	return elfFile{interp: "/lib/ld-musl-x86_64.so.1", needed: needed}
}

// library makes a library that needs others.
func library(needed ...string) elfFile { return elfFile{dynamic: true, needed: needed} }

func (f elfFile) rpathed(s string) elfFile    { f.rpath = s; return f }
func (f elfFile) runpathed(s string) elfFile  { f.runpath = s; return f }
func (f elfFile) called(s string) elfFile     { f.soname = s; return f }
func (f elfFile) has(v ...string) elfFile     { f.defined = v; return f }
func (f elfFile) wants(lib, v string) elfFile { f.wanted = []wantedVersion{{lib, v, false}}; return f }
func (f elfFile) wantsWeak(lib, v string) elfFile {
	f.wanted = []wantedVersion{{lib, v, true}}
	return f
}

var (
	glibc    = fileSet{"lib/ld.so": glibcLoader, "lib/libc.so.6": library().called("libc.so.6")}
	muslRoot = fileSet{"lib/ld-musl-x86_64.so.1": muslLoader}
)

// TestPrograms has a row for each rule of kernel and loaders. want is a part of the only error, or "" for none.
func TestPrograms(t *testing.T) {
	for name, test := range map[string]struct {
		files fileSet
		env   []string
		want  string
	}{
		// The kernel.
		"static":                          {fileSet{"bin/p": elfFile{typ: typeExec}}, nil, ""},
		"static and position-independent": {fileSet{"bin/p": elfFile{dynamic: true}}, nil, ""},
		"for another architecture":        {fileSet{"bin/p": foreign}, nil, "/bin/p: is for arm64, but the image for amd64"},
		"for the older architecture":      {fileSet{"bin/p": elfFile{narrow: true, machine: 3}}, nil, ""},
		"a text file":                     {fileSet{"bin/p": "text"}, nil, "neither an ELF program nor a script"},
		"empty":                           {fileSet{"bin/p": ""}, nil, "is empty"},
		"an object file":                  {fileSet{"bin/p": elfFile{typ: 1}}, nil, "neither a program nor a library"},
		"damaged":                         {fileSet{"bin/p": elfMagic + "\x02\x01"}, nil, "is damaged"},
		"a library in PATH":               {glibc.with(fileSet{"bin/p": library("libc.so.6")}), nil, "is not a program"},
		"a file without x is ignored":     {fileSet{"bin/p": data("x")}, nil, ""},
		"a link to nothing":               {fileSet{"bin/p": link("/bin/q")}, nil, "/bin/p: leads nowhere: /bin/q"},
		"no interpreter":                  {fileSet{"bin/p": program()}, nil, `its ELF interpreter "/lib/ld.so" does not exist`},
		"a dangling interpreter":          {fileSet{"bin/p": program(), "lib/ld.so": link("ld-2.so")}, nil, `"/lib/ld.so" is a link that leads nowhere: ld-2.so`},
		"an interpreter without x":        {fileSet{"bin/p": program(), "lib/ld.so": data("x")}, nil, "is not executable"},
		"a directory as interpreter":      {fileSet{"bin/p": program(), "lib/ld.so": nil}, nil, "is a directory"},
		"a script as ELF interpreter":     {fileSet{"bin/p": program(), "lib/ld.so": "#!/bin/sh\n"}, nil, "is not an ELF file"},
		"a foreign interpreter":           {fileSet{"bin/p": program(), "lib/ld.so": foreign}, nil, "is for arm64"},
		"an interpreter of another class": {fileSet{"bin/p": program(), "lib/ld.so": elfFile{narrow: true, machine: 3, dynamic: true}}, nil, "is for 386, but the program for amd64"},
		"a program behind links":          {glibc.with(fileSet{"bin": nil, "x/p": program("libc.so.6"), "bin/p": link("../y/p"), "y": link("x")}), nil, ""},

		// Scripts.
		"a script":                        {fileSet{"bin/p": "#!/bin/sh -e\n", "bin/sh": elfFile{}}, nil, ""},
		"no #! interpreter":               {fileSet{"bin/p": "#!/bin/bash\n"}, nil, `its interpreter "/bin/bash" does not exist`},
		"a #! interpreter that is broken": {fileSet{"bin/p": "#!/sh\n", "sh": program()}, nil, `its interpreter "/sh": its ELF interpreter "/lib/ld.so" does not exist`},
		"with carriage return":            {fileSet{"bin/p": "#!/bin/sh\r\n", "bin/sh": elfFile{}}, nil, `"/bin/sh\r" does not exist`},
		"a relative #! interpreter":       {fileSet{"bin/p": "#!sh\n", "sh": elfFile{}}, nil, ""},
		"a line that is too long":         {fileSet{"bin/p": "#!/" + strings.Repeat("x", 255) + "\n"}, nil, "longer than 255 bytes"},
		"env":                             {fileSet{"bin/p": "#!/bin/env q\n", "bin/env": elfFile{}, "bin/q": elfFile{}}, nil, ""},
		"missing env":                     {fileSet{"bin/p": "#!/usr/bin/env q\n", "bin/q": elfFile{}}, nil, `"/usr/bin/env" does not exist`},
		"env without the program":         {fileSet{"bin/p": "#!/bin/env q\n", "bin/env": elfFile{}}, nil, `env finds no "q" in PATH`},
		"env with an option":              {fileSet{"bin/p": "#!/bin/env q -x\n", "bin/env": elfFile{}, "bin/q": elfFile{}}, nil, `no "q -x" in PATH: env takes the rest of the line as one name, and env -S splits it`},
		"env -S":                          {fileSet{"bin/p": "#!/bin/env -S q -x\n", "bin/env": elfFile{}, "bin/q": elfFile{}}, nil, ""},
		"env goes on along PATH":          {fileSet{"bin/p": "#!/bin/env q\n", "bin/env": elfFile{}, "b/q": elfFile{}, "a/q": "#!/none\n"}, []string{"PATH=/bin:/b"}, ""},
		"env and a broken program":        {fileSet{"bin/p": "#!/bin/env -S PATH=/b q\n", "bin/env": elfFile{}, "b/q": "#!/none\n"}, nil, `env tries to start "/b/q": its interpreter "/none" does not exist`},

		// glibc's loader.
		"default directories":                         {glibc.with(fileSet{"bin/p": program("libc.so.6", "libu.so"), "usr/lib/libu.so": library()}), nil, ""},
		"a missing library":                           {glibc.with(fileSet{"bin/p": program("libx.so.1")}), nil, `needs "libx.so.1", which the loader does not find`},
		"a library's library":                         {glibc.with(fileSet{"bin/p": program("liba.so"), "lib/liba.so": library("libx.so.1")}), nil, `needs "libx.so.1" for "/lib/liba.so", which the loader does not find`},
		"a library elsewhere":                         {glibc.with(fileSet{"bin/p": program("libx.so.1"), "opt/libx.so.1": library()}), nil, `; it does not look at "/opt/libx.so.1"`},
		"a dangling library":                          {glibc.with(fileSet{"bin/p": program("libx.so.1"), "lib/libx.so.1": link("libx.so.1.2")}), nil, `needs "libx.so.1"`},
		"RUNPATH":                                     {glibc.with(fileSet{"bin/p": program("liba.so").runpathed("/none:/a"), "a/liba.so": library()}), nil, ""},
		"RUNPATH is not inherited":                    {glibc.with(fileSet{"bin/p": program("liba.so").runpathed("/a"), "a/liba.so": library("libb.so"), "a/libb.so": library()}), nil, `needs "libb.so"`},
		"RPATH is inherited":                          {glibc.with(fileSet{"bin/p": program("liba.so").rpathed("/a"), "a/liba.so": library("libb.so"), "a/libb.so": library()}), nil, ""},
		"RPATH of a library":                          {glibc.with(fileSet{"bin/p": program("liba.so"), "lib/liba.so": library("libb.so").rpathed("/b"), "b/libb.so": library("libc2.so"), "b/libc2.so": library()}), nil, ""},
		"RPATH beside RUNPATH":                        {glibc.with(fileSet{"bin/p": program("liba.so").rpathed("/a").runpathed("/b"), "a/liba.so": library()}), nil, `needs "liba.so"`},
		"RUNPATH hides RPATH above":                   {glibc.with(fileSet{"bin/p": program("liba.so").rpathed("/a"), "a/liba.so": library("libb.so").runpathed("/c"), "a/libb.so": library()}), nil, `needs "libb.so"`},
		"RPATH of the program, inherited twice":       {glibc.with(fileSet{"bin/p": program("liba.so").rpathed("/a"), "a/liba.so": library("libb.so"), "a/libb.so": library("libc2.so"), "a/libc2.so": library()}), nil, ""},
		"LD_LIBRARY_PATH":                             {glibc.with(fileSet{"bin/p": program("liba.so"), "a/liba.so": library("libb.so"), "b/libb.so": library()}), []string{"LD_LIBRARY_PATH=/a;/b"}, ""},
		"LD_LIBRARY_PATH before RUNPATH":              {glibc.with(fileSet{"bin/p": program("liba.so").runpathed("/a"), "a/liba.so": library(), "b/liba.so": library("libx.so")}), []string{"LD_LIBRARY_PATH=/b"}, `for "/b/liba.so"`},
		"RPATH before LD_LIBRARY_PATH":                {glibc.with(fileSet{"bin/p": program("liba.so").rpathed("/a"), "a/liba.so": library(), "b/liba.so": library("libx.so")}), []string{"LD_LIBRARY_PATH=/b"}, ""},
		"$ORIGIN":                                     {glibc.with(fileSet{"opt/bin/p": program("liba.so").runpathed("$ORIGIN/../lib"), "bin/p": link("/opt/bin/p"), "opt/lib/liba.so": library("libb.so").runpathed("${ORIGIN}/b"), "opt/lib/b/libb.so": library()}), nil, ""},
		"$ORIGIN of a link to a library":              {glibc.with(fileSet{"bin/p": program("liba.so"), "lib/liba.so": link("/opt/liba.so"), "opt/liba.so": library("libb.so").runpathed("$ORIGIN"), "opt/libb.so": library()}), nil, `needs "libb.so"`},
		"$LIB":                                        {glibc.with(fileSet{"bin/p": program("liba.so").runpathed("/opt/$LIB"), "opt/lib/liba.so": library()}), nil, ""},
		"$PLATFORM":                                   {glibc.with(fileSet{"bin/p": program("liba.so").runpathed("/opt/${PLATFORM}x"), "opt/x86_64x/liba.so": library()}), nil, ""},
		"another $":                                   {glibc.with(fileSet{"bin/p": program("liba.so").runpathed("/$OTHER"), "$OTHER/liba.so": library()}), nil, ""},
		"another class is skipped":                    {glibc.with(fileSet{"bin/p": program("liba.so").runpathed("/a:/b"), "a/liba.so": elfFile{narrow: true, machine: 3, dynamic: true}, "b/liba.so": library()}), nil, ""},
		"another machine is skipped":                  {glibc.with(fileSet{"bin/p": program("liba.so").runpathed("/a:/b"), "a/liba.so": foreign, "b/liba.so": library()}), nil, ""},
		"only for another machine":                    {glibc.with(fileSet{"bin/p": program("liba.so").runpathed("/a"), "a/liba.so": foreign}), nil, `needs "liba.so"`},
		"a file that is not ELF ends the search":      {glibc.with(fileSet{"bin/p": program("liba.so").runpathed("/a:/b"), "a/liba.so": data("INPUT(x)"), "b/liba.so": library()}), nil, `"/a/liba.so" is not an ELF file`},
		"a damaged library":                           {glibc.with(fileSet{"bin/p": program("liba.so"), "lib/liba.so": data(string(library("libc.so.6").bytes()[:150]))}), nil, `"/lib/liba.so" is damaged`},
		"another class is never damaged":              {glibc.with(fileSet{"bin/p": program("liba.so").runpathed("/a:/b"), "a/liba.so": data(elfMagic + "\x01\x01\x01" + string(library().bytes()[7:])), "b/liba.so": library()}), nil, ""},
		"another byte order":                          {glibc.with(fileSet{"bin/p": program("liba.so").runpathed("/a:/b"), "a/liba.so": elfFile{big: true, dynamic: true}, "b/liba.so": library()}), nil, `"/a/liba.so" has another byte order`},
		"an object file as library":                   {glibc.with(fileSet{"bin/p": program("liba.so"), "lib/liba.so": elfFile{typ: 1}}), nil, `is an ELF file, but not a library`},
		"a program as library":                        {glibc.with(fileSet{"bin/p": program("liba.so"), "lib/liba.so": elfFile{dynamic: true, flags1: 0x8000000}}), nil, `is a program, not a library`},
		"a directory as library":                      {glibc.with(fileSet{"bin/p": program("liba.so"), "lib/liba.so": nil}), nil, "is not a regular file"},
		"a soname that is loaded":                     {glibc.with(fileSet{"bin/p": program("liba-1.so", "libb.so"), "lib/liba-1.so": library().called("liba.so.1"), "lib/libb.so": library("liba.so.1")}), nil, ""},
		"a soname that is loaded later":               {glibc.with(fileSet{"bin/p": program("libb.so", "liba-1.so"), "lib/liba-1.so": library().called("liba.so.1"), "lib/libb.so": library("liba.so.1")}), nil, ""},
		"a soname that is needed before it is loaded": {glibc.with(fileSet{"bin/p": program("libb.so"), "lib/libb.so": library("liba.so.1", "liba-1.so"), "lib/liba-1.so": library().called("liba.so.1")}), nil, `needs "liba.so.1"`},
		"the loader's soname":                         {glibc.with(fileSet{"bin/p": program("ld-linux-x86-64.so.2")}), nil, ""},
		"a name with a slash":                         {glibc.with(fileSet{"bin/p": program("/opt/liba.so"), "opt/liba.so": library()}), nil, ""},
		"a name with $ORIGIN":                         {glibc.with(fileSet{"bin/p": program("$ORIGIN/../opt/liba.so"), "opt/liba.so": library()}), nil, ""},
		"a name with a slash, missing":                {glibc.with(fileSet{"bin/p": program("/opt/liba.so")}), nil, `needs "/opt/liba.so", which does not exist`},
		"a name with a slash, foreign":                {glibc.with(fileSet{"bin/p": program("/opt/liba.so"), "opt/liba.so": foreign}), nil, `is for arm64`},
		"a version":                                   {glibc.with(fileSet{"bin/p": program("liba.so").wants("liba.so", "A_2"), "lib/liba.so": library().has("liba.so", "A_1", "A_2")}), nil, ""},
		"a missing version":                           {glibc.with(fileSet{"bin/p": program("liba.so").wants("liba.so", "A_3"), "lib/liba.so": library().has("liba.so", "A_1", "A_2")}), nil, `"/bin/p" needs version A_3 of liba.so, which "/lib/liba.so" does not have`},
		"a weak version":                              {glibc.with(fileSet{"bin/p": program("liba.so").wantsWeak("liba.so", "A_3"), "lib/liba.so": library().has("A_1")}), nil, ""},
		"a version of a library without versions":     {glibc.with(fileSet{"bin/p": program("liba.so").wants("liba.so", "A_3"), "lib/liba.so": library()}), nil, ""},
		"a version of the loader":                     {glibc.with(fileSet{"bin/p": program("ld-linux-x86-64.so.2").wants("ld-linux-x86-64.so.2", "GLIBC_2.99")}), nil, "needs version GLIBC_2.99"},
		"no default directories":                      {glibc.with(fileSet{"bin/p": elfFile{interp: "/lib/ld.so", needed: []string{"libc.so.6"}, flags1: 0x800}}), nil, `needs "libc.so.6"`},
		"the cache":                                   {glibc.with(fileSet{"bin/p": program("liba.so"), "opt/liba.so": library(), "etc/ld.so.cache": data(ldCache(map[string]string{"liba.so": "/opt/liba.so"}))}), nil, ""},
		"a stale cache":                               {glibc.with(fileSet{"bin/p": program("liba.so"), "etc/ld.so.cache": data(ldCache(map[string]string{"liba.so": "/opt/liba.so"}))}), nil, `needs "liba.so"`},
		"a library of LD_PRELOAD":                     {glibc.with(fileSet{"bin/p": program("liba.so"), "opt/x.so": library().called("liba.so")}), []string{"LD_PRELOAD=/opt/x.so"}, ""},
		"only for some processors":                    {glibc.with(fileSet{"bin/p": program("liba.so"), "lib/glibc-hwcaps/x86-64-v3/liba.so": library()}), nil, ""},
		"a library with an odd name":                  {glibc.with(fileSet{"bin/p": program("plugin"), "lib/plugin": data(string(library("libx.so").bytes()))}), nil, `for "/lib/plugin"`},

		// musl's loader.
		"musl":                             {muslRoot.with(fileSet{"bin/p": musl("libc.musl-x86_64.so.1", "libm.so", "liba.so"), "usr/local/lib/liba.so": library()}), nil, ""},
		"musl: missing":                    {muslRoot.with(fileSet{"bin/p": musl("liba.so")}), nil, `needs "liba.so"`},
		"musl: RUNPATH is inherited":       {muslRoot.with(fileSet{"bin/p": musl("liba.so").runpathed("/a"), "a/liba.so": library("libb.so"), "a/libb.so": library()}), nil, ""},
		"musl: $ORIGIN":                    {muslRoot.with(fileSet{"bin/p": musl("liba.so").runpathed("$ORIGIN/../a"), "a/liba.so": library()}), nil, ""},
		"musl: another $":                  {muslRoot.with(fileSet{"bin/p": musl("liba.so").runpathed("/a:$LIB"), "a/liba.so": library()}), nil, `needs "liba.so"`},
		"musl: LD_LIBRARY_PATH before all": {muslRoot.with(fileSet{"bin/p": musl("liba.so").rpathed("/a"), "a/liba.so": library(), "b/liba.so": library("libx.so")}), []string{"LD_LIBRARY_PATH=/b"}, `needs "libx.so"`},
		"musl: the first file counts":      {muslRoot.with(fileSet{"bin/p": musl("liba.so").runpathed("/a:/b"), "a/liba.so": foreign, "b/liba.so": library()}), nil, "is for arm64"},
		"musl: sonames do not count":       {muslRoot.with(fileSet{"bin/p": musl("liba-1.so", "liba.so.1"), "lib/liba-1.so": library().called("liba.so.1")}), nil, `needs "liba.so.1"`},
		"musl: a path file":                {muslRoot.with(fileSet{"bin/p": musl("liba.so"), "opt/liba.so": library(), "etc/ld-musl-x86_64.path": data("/none\n/opt\n")}), nil, ""},
		"musl: no versions":                {muslRoot.with(fileSet{"bin/p": musl("liba.so").wants("liba.so", "A_3"), "lib/liba.so": library().has("A_1")}), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{Env: append([]string{"PATH=/bin"}, test.env...)}
			var got []string
			for _, p := range test.files.check(t, c).Errors {
				got = append(got, p.String())
			}
			switch {
			case test.want == "" && len(got) > 0:
				t.Errorf("Check gives the errors %q; want none", got)
			case test.want != "" && (len(got) != 1 || !strings.Contains(got[0], test.want)):
				t.Errorf("Check gives the errors %q; want one with %q", got, test.want)
			}
		})
	}
}

// TestConfig checks each field of Config.
func TestConfig(t *testing.T) {
	files := glibc.with(fileSet{
		"bin/p": program("libc.so.6"), "bin/broken": "#!/none\n", "opt/p": elfFile{}, "opt/text": data("x"), "root/p": elfFile{},
		"private/p": secret(elfFile{}.bytes()), "etc/passwd": data("root:x:0:0::/root:/bin/sh\napp:x:7:8::/:/bin/sh\n"), "etc/group": data("root:x:0:\nwheel:x:9:app\n"),
	})
	broken := Problem{"/bin/broken", Program, `its interpreter "/none" does not exist`}
	for name, test := range map[string]struct {
		config Config
		want   []Problem
	}{
		"nothing":              {Config{}, nil},
		"a word":               {Config{Entrypoint: []string{"p"}, Cmd: []string{"none"}}, nil},
		"a path":               {Config{Cmd: []string{"/opt/p"}}, nil},
		"a relative path":      {Config{Cmd: []string{"./p"}, WorkingDir: "/opt"}, nil},
		"nowhere":              {Config{Cmd: []string{"./p"}}, []Problem{{"/p", Entrypoint, "the command does not exist"}}},
		"not in PATH":          {Config{Entrypoint: []string{"none"}}, []Problem{{"none", Entrypoint, "the entrypoint is not in PATH"}}},
		"broken":               {Config{Entrypoint: []string{"broken"}}, []Problem{{"/bin/broken", Entrypoint, `the entrypoint: its interpreter "/none" does not exist`}}},
		"not executable":       {Config{Cmd: []string{"/opt/text"}}, []Problem{{"/opt/text", Entrypoint, "the command is not executable"}}},
		"not executable, PATH": {Config{Cmd: []string{"text"}, Env: []string{"PATH=/bin:/opt"}}, []Problem{{"text", Entrypoint, "the command is not in PATH: /opt/text is not executable"}}},
		"a directory":          {Config{Cmd: []string{"/opt"}}, []Problem{{"/opt", Entrypoint, "the command is a directory"}}},
		"for root":             {Config{Cmd: []string{"/private/p"}}, nil},
		"not for the user":     {Config{Cmd: []string{"/private/p"}, User: "app"}, []Problem{{"/private/p", Entrypoint, "the command is not executable for user 7"}}},
		"another architecture": {Config{Cmd: []string{"/opt/p"}, Architecture: "arm64", Env: []string{"PATH=/none"}}, []Problem{{"/opt/p", Entrypoint, "the command is for amd64, but the image for arm64"}}},
		"a file as directory":  {Config{WorkingDir: "/opt/text"}, []Problem{{"/opt/text", WorkingDir, "is not a directory"}}},
		"a missing directory":  {Config{WorkingDir: "/srv/new"}, nil},
		"a user":               {Config{User: "app:wheel"}, nil},
		"numbers":              {Config{User: "1234:5678"}, nil},
		"an unknown user":      {Config{User: "web"}, []Problem{{"web", User, `no user "web" in the image's /etc/passwd`}}},
		"an unknown group":     {Config{User: "app:web"}, []Problem{{"app:web", User, `no group "web" in the image's /etc/group`}}},
	} {
		t.Run(name, func(t *testing.T) {
			image := &Image{Config: test.config, Parts: []rootfs.Part{files.part(t, "")}}
			got := slices.DeleteFunc(mustCheck(t, image, Options{}).Errors, func(p Problem) bool { return p == broken })
			if !slices.Equal(got, test.want) {
				t.Errorf("Check gives the errors %q; want %q", got, test.want)
			}
		})
	}
}

const (
	profileRoot = "nix/store/00000000000000000000000000000000-profile"
	aRoot       = "nix/store/11111111111111111111111111111111-a"
	bRoot       = "nix/store/22222222222222222222222222222222-b"
	goneRoot    = "nix/store/33333333333333333333333333333333-gone"
)

// profileImage makes an image of a profile with two packages and more files, in parts.
func profileImage(t *testing.T, more fileSet) *Image {
	t.Helper()
	all := glibc.with(fileSet{
		"run/profile":              link("/" + profileRoot),
		profileRoot + "/bin/a":     link("/" + aRoot + "/bin/a"),
		profileRoot + "/share/doc": link("/" + bRoot + "/share/doc"),
		aRoot + "/bin/a":           elfFile{},
		bRoot + "/share/doc/b":     data("b"),
	}).with(more)
	image := &Image{Config: Config{Env: []string{"PATH=/run/profile/bin:/" + profileRoot + "/bin"}}}
	for _, root := range []string{profileRoot, aRoot, bRoot} {
		image.Parts = append(image.Parts, all.part(t, root))
	}
	maps.DeleteFunc(all, func(name string, _ any) bool { return rootfs.Within("nix", name) })
	image.Parts = append(image.Parts, all.part(t, ""))
	return image
}

// TestOtherFaults has a row for each fault that is not about a program of PATH.
func TestOtherFaults(t *testing.T) {
	for name, test := range map[string]struct {
		more         fileSet
		errors, warn []string
	}{
		"nothing":                                {nil, nil, nil},
		"a profile's link":                       {fileSet{profileRoot + "/etc/x": link("/" + aRoot + "/etc/x")}, []string{"/etc/x: leads nowhere: /" + aRoot + "/etc/x"}, nil},
		"a link to another object":               {fileSet{profileRoot + "/etc/x": link("/" + goneRoot + "/x")}, []string{"leads nowhere"}, []string{`names "/` + goneRoot + `", which is not in the image`}},
		"a link deeper inside":                   {fileSet{aRoot + "/x": link("y")}, nil, []string{"/" + aRoot + "/x: leads nowhere: y"}},
		"a profile's link to a dangling one":     {fileSet{profileRoot + "/x": link("/" + aRoot + "/x"), aRoot + "/x": link("y")}, nil, []string{"-profile/x: leads nowhere", "-a/x: leads nowhere"}},
		"a program's link":                       {fileSet{profileRoot + "/bin/x": link("/" + aRoot + "/bin/x"), aRoot + "/bin/x": link("y")}, []string{"-profile/bin/x: leads nowhere"}, []string{"-a/bin/x: leads nowhere"}},
		"a link into /proc and /dev":             {fileSet{aRoot + "/x": link("/proc/mounts"), aRoot + "/y": link("/dev/../dev/null"), "dev": nil}, nil, nil},
		"a name in a file":                       {fileSet{aRoot + "/x": data("see /" + goneRoot + "/share.")}, nil, []string{"/" + aRoot + `/x: names "/` + goneRoot + `"`}},
		"a name that is there":                   {fileSet{aRoot + "/x": data("see /" + bRoot + "/share.")}, nil, nil},
		"a library that nothing loads":           {fileSet{"bin/p": program(), profileRoot + "/bin/p": link("/bin/p"), aRoot + "/lib/libx.so": library("liby.so")}, nil, []string{`libx.so: needs "liby.so"`}},
		"a library that a program loaded before": {fileSet{profileRoot + "/bin/p": program("liby.so.1").runpathed("/" + bRoot), bRoot + "/liby.so.1": library().called("liby.so.1"), aRoot + "/lib/libx.so": library("liby.so.1")}, nil, nil},
		"a library in the same object":           {fileSet{profileRoot + "/bin/p": program(), aRoot + "/lib/libx.so": library("liby.so"), aRoot + "/lib/y/liby.so": library()}, nil, nil},
		"a script outside of PATH":               {fileSet{aRoot + "/libexec/x": "#!/none\n"}, nil, []string{`libexec/x: its interpreter "/none" does not exist`}},
		"a program outside of PATH":              {fileSet{aRoot + "/libexec/x": program("libx.so")}, nil, []string{`libexec/x: needs "libx.so"`}},
		"a damaged library":                      {fileSet{profileRoot + "/bin/p": program(), aRoot + "/x.so": data(string(library("libc.so.6").bytes()[:150]))}, nil, []string{"x.so: is damaged"}},
		"foreign files are data":                 {fileSet{profileRoot + "/bin/p": program(), aRoot + "/x.so": foreign}, nil, nil},
		"two packages with one name":             {fileSet{profileRoot + "/share/y": link("/" + aRoot + "/share/y"), aRoot + "/share/y": data("1"), bRoot + "/share/y": data("22")}, nil, []string{`/share/y: is "/` + aRoot + `/share/y", and hides "/` + bRoot + `/share/y"`}},
		"two packages with equal files":          {fileSet{profileRoot + "/share/y": link("/" + aRoot + "/share/y"), aRoot + "/share/y": data("1"), bRoot + "/share/y": data("1")}, nil, nil},
		"two packages with files of one size":    {fileSet{profileRoot + "/share/y": link("/" + aRoot + "/share/y"), aRoot + "/share/y": data("1"), bRoot + "/share/y": data("2")}, nil, []string{"and hides"}},
		"a missing preload":                      {fileSet{"etc/ld.so.preload": data("/none.so"), profileRoot + "/bin/p": program()}, nil, []string{"/none.so: ld.so.preload names it"}},
		"no certificates at Fedora's": {fileSet{"etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem": data("none")},
			[]string{"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem: contains no PEM certificate"}, nil},
		"no certificates": {fileSet{"etc/ssl/certs/ca-bundle.crt": data("none")}, []string{"/etc/ssl/certs/ca-bundle.crt: contains no PEM certificate"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := mustCheck(t, profileImage(t, test.more), Options{References: true})
			for _, list := range []struct {
				what string
				got  []Problem
				want []string
			}{{"errors", r.Errors, test.errors}, {"warnings", r.Warnings, test.warn}} {
				left := slices.Clone(list.want)
				for _, p := range list.got {
					i := slices.IndexFunc(left, func(want string) bool { return strings.Contains(p.String(), want) })
					if i < 0 {
						t.Errorf("unexpected %s: %q", list.what, p)
						continue
					}
					left = slices.Delete(left, i, i+1)
				}
				if len(left) > 0 {
					t.Errorf("%s %q lack %q", list.what, list.got, left)
				}
			}
		})
	}
}

// TestTwoProfiles checks that of two profiles the first hides the second's files of the same name.
func TestTwoProfiles(t *testing.T) {
	const other = "nix/store/44444444444444444444444444444444-other"
	more := fileSet{other + "/bin/a": elfFile{pad: 1}, other + "/bin/b": elfFile{}, other + "/share/doc/b": link("/" + bRoot + "/share/doc/b")}
	image := profileImage(t, nil)
	image.Parts = append(image.Parts, more.part(t, other))
	image.Config.Env[0] += ":/" + other + "/bin"
	r := mustCheck(t, image, Options{})
	want := []Problem{{"/run/profile/bin/a", Conflict, `is "/` + profileRoot + `/bin/a", and hides "/` + other + `/bin/a"`}}
	if !slices.Equal(r.Warnings, want) || r.Programs != 2 || len(r.Errors) > 0 {
		t.Errorf("Check = %+v; want %q and 2 programs", r, want)
	}
}

// TestLayers checks that files of upper layers count, and hidden files do not.
func TestLayers(t *testing.T) {
	lower := rootfs.NewLower("")
	under := fileSet{"bin/p": program("liba.so"), "bin/q": "#!/none\n", "lib": link("usr/lib"), "usr/lib/ld.so": glibcLoader}
	for _, e := range under.entries(t) {
		if err := lower.Put(rootfs.LowerEntry{Entry: e, Source: e.Path}); err != nil {
			t.Fatal(err)
		}
	}
	image := &Image{
		Lower:        lower,
		LowerSources: []Source{{Name: "layer", Tree: rootfs.TreeOf(under.entries(t))}},
		Parts:        []rootfs.Part{fileSet{"usr/lib/liba.so": library("libb.so")}.part(t, "")},
		Layers: []Layer{
			{Part: fileSet{"usr/lib/libb.so": library()}.part(t, ""), Hidden: []string{"bin/q"}},
			{Part: fileSet{"bin/r": "#!/bin/q\n"}.part(t, "")},
		},
	}
	r := mustCheck(t, image, Options{})
	want := []Problem{{"/bin/r", Program, `its interpreter "/bin/q" does not exist`}}
	if !slices.Equal(r.Errors, want) || r.Programs != 2 {
		t.Errorf("Check = %+v; want %q and 2 programs", r, want)
	}
	image.Layers = nil
	r = mustCheck(t, image, Options{})
	if len(r.Errors) != 2 {
		t.Errorf("Check without the layers gives the errors %q; want two", r.Errors)
	}
}

// TestFacts checks that a source whose contents are in the facts is not read again, with the same result.
func TestFacts(t *testing.T) {
	facts := &rootfs.Facts{Dir: t.TempDir()}
	files := glibc.with(fileSet{"bin/p": program("liba.so"), "x": data("/" + goneRoot)})
	part := files.part(t, "")
	part.Key = "sha256:" + strings.Repeat("0", 64)
	image := &Image{Parts: []rootfs.Part{part}}
	first := mustCheck(t, image, Options{Facts: facts, References: true})
	opened := 0
	entries := files.entries(t)
	for i, e := range entries {
		if e.Open != nil {
			entries[i].Open = func() (io.ReadCloser, error) { opened++; return e.Open() }
		}
	}
	image.Parts[0].Tree = rootfs.TreeOf(entries)
	again := mustCheck(t, image, Options{Facts: facts, References: true})
	if len(first.Errors) != 1 || len(first.Warnings) != 1 || !slices.Equal(first.Errors, again.Errors) || !slices.Equal(first.Warnings, again.Warnings) {
		t.Errorf("Check = %+v, then %+v; want them equal, with one error and one warning", first, again)
	}
	if opened != 1 { // the loader, whose bytes are searched
		t.Errorf("Check opened %d files again; want 1", opened)
	}
	if r := mustCheck(t, image, Options{Facts: facts}); !slices.Equal(r.Errors, first.Errors) {
		t.Errorf("Check without References = %+v; want the errors of %+v", r, first)
	}
}

// TestScattered checks that an ELF file with scattered pieces can be read from a stream.
func TestScattered(t *testing.T) {
	far := program("liba.so", strings.Repeat("x", 3000)+".so").wants("liba.so", "A_1")
	for _, lead := range []int{0, maxHead - 200, 2 * maxHead} {
		far.lead, far.pad = lead, 2*maxHead
		r := glibc.with(fileSet{"bin/p": far, "lib/liba.so": library("libb.so")}).check(t, Config{})
		if len(r.Errors) != 2 || !strings.Contains(r.Errors[0].Reason, "libb.so") {
			t.Errorf("names behind %d bytes: Check gives the errors %.300q; want two", lead, r.Errors)
		}
	}
}

// TestUnproven checks that every file of an unproven part is read to its end: only then its promise is checked.
func TestUnproven(t *testing.T) {
	part := fileSet{"bin/p": elfFile{}, "x": data("content")}.part(t, "")
	part.Unproven = true
	read := make(map[string]int)
	tree := part.Tree
	part.Tree = func(yield func(rootfs.Entry, error) bool) {
		for e, err := range tree {
			if e.Open != nil {
				open := e.Open
				e.Open = func() (io.ReadCloser, error) {
					r, err := open()
					return struct {
						io.Reader
						io.Closer
					}{io.TeeReader(r, counter{read, e.Path}), r}, err
				}
			}
			if !yield(e, err) {
				return
			}
		}
	}
	mustCheck(t, &Image{Parts: []rootfs.Part{part}}, Options{})
	for e := range part.Tree {
		if e.IsRegular() && int64(read[e.Path]) != e.Size {
			t.Errorf("%d bytes of %q were read; want %d", read[e.Path], e.Path, e.Size)
		}
	}
}

type counter struct {
	read map[string]int
	path string
}

func (c counter) Write(p []byte) (int, error) { c.read[c.path] += len(p); return len(p), nil }

// TestCancelled checks that Check fails once its context is cancelled.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if r, err := Check(ctx, profileImage(t, nil), Options{Time: time.Now()}); err == nil {
		t.Errorf("Check = %+v, <nil>; want an error", r)
	}
}
