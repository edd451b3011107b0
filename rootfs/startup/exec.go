package startup

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// verdict lists why a program does not start. A program without reasons starts.
type verdict struct {
	refused bool // by the kernel, so a search along PATH goes on
	reasons []string
	uses    []string // paths of the files that take part in starting it
}

func (v *verdict) ok() bool { return len(v.reasons) == 0 }

func refusef(format string, args ...any) *verdict {
	return &verdict{refused: true, reasons: []string{fmt.Sprintf(format, args...)}}
}

// whyMissing says why nothing was found at a path.
func (c *checker) whyMissing(name string, err error) string {
	switch e, ok := c.files.Lookup(name); {
	case ok && e.IsLink():
		return fmt.Sprintf("is a link that leads nowhere: %s", e.Target)
	case !errors.Is(err, fs.ErrNotExist):
		return err.Error()
	}
	return "does not exist"
}

// judge returns the verdict of the kernel and the loader on the program at a path. depth counts the interpreters that led to it.
func (c *checker) judge(name string, depth int) (*verdict, error) {
	e, err := c.stat(name)
	if err != nil {
		return refusef("%s", c.whyMissing(name, err)), nil
	}
	if why := c.whyNotExecutable(e); why != "" {
		return refusef("%s", why), nil
	}
	if depth > maxInterpreters {
		return refusef("has more than %d interpreters of interpreters", maxInterpreters), nil
	}
	s, err := c.startable(e)
	if err != nil {
		return nil, err
	}
	switch {
	case s.Binary != nil:
		if v := c.programs[e.Path]; v != nil {
			return v, nil
		}
		v, err := c.judgeBinary(e, s.Binary)
		c.programs[e.Path] = v
		return v, err
	case s.Script != nil:
		return c.judgeScript(e, s.Script, depth)
	case e.Size == 0:
		return refusef("is empty"), nil
	}
	return refusef("is neither an ELF program nor a script that begins with #!"), nil
}

// whyNotExecutable says why execve refuses an entry before it reads it, or returns "".
func (c *checker) whyNotExecutable(e rootfs.LowerEntry) string {
	switch {
	case e.Other:
		return "is not a regular file"
	case e.IsDir():
		return "is a directory"
	case !c.account.may(e.Entry, 0o1):
		return "is not executable" + c.account.forUser()
	}
	if dir := c.closedDir(e.Path); dir != "" {
		return fmt.Sprintf("is in %q, which user %d cannot enter", "/"+dir, c.account.uid)
	}
	return ""
}

// closedDir returns the first directory above a path without links that the user may not enter, or "".
func (c *checker) closedDir(name string) string {
	if c.account.uid == 0 {
		return ""
	}
	for i, b := range []byte(name) {
		if b != '/' {
			continue
		}
		if e, ok := c.files.Lookup(name[:i]); ok && !c.account.may(e.Entry, 0o1) {
			return name[:i]
		}
	}
	return ""
}

// judgeScript returns the verdict on a script, on its interpreter, and on the program that env starts.
func (c *checker) judgeScript(e rootfs.LowerEntry, head []byte, depth int) (*verdict, error) {
	interpreter, arg, why := parseScript(head)
	if why != "" {
		return refusef("%s", why), nil
	}
	v, err := c.judge(c.absolute(interpreter), depth+1)
	if err != nil {
		return nil, err
	}
	uses := append([]string{e.Path}, v.uses...)
	if !v.ok() {
		reasons := prefix(fmt.Sprintf("its interpreter %q", interpreter), " ", v.reasons)
		if _, err := c.stat(c.absolute(interpreter)); err != nil {
			reasons[0] += c.noShell(interpreter)
		}
		return &verdict{v.refused, reasons, uses}, nil
	}
	if path.Base(interpreter) != "env" || arg == "" {
		return &verdict{uses: uses}, nil
	}
	program, searched, known := parseEnv(arg)
	if !known {
		return &verdict{uses: uses}, nil
	}
	v, err = c.judgeEnv(program, searched)
	if err != nil {
		return nil, err
	}
	return &verdict{reasons: v.reasons, uses: append(uses, v.uses...)}, nil
}

// judgeEnv returns the verdict on the program that env starts. If the kernel refuses one, env tries the next in PATH.
func (c *checker) judgeEnv(program, searched string) (*verdict, error) {
	if strings.Contains(program, "/") {
		v, err := c.judge(c.absolute(program), 0)
		if v != nil && !v.ok() {
			v = &verdict{reasons: prefix(fmt.Sprintf("env starts %q", program), ", which ", v.reasons), uses: v.uses}
		}
		return v, err
	}
	var first *verdict
	for dir := range strings.SplitSeq(cmp.Or(searched, c.searchPath(bareSearchPath)), ":") {
		name := c.absolute(path.Join(cmp.Or(dir, "."), program))
		e, err := c.stat(name)
		if err != nil || c.whyNotExecutable(e) != "" {
			continue
		}
		v, err := c.judge(name, 0)
		if err != nil {
			return nil, err
		}
		if v.ok() || !v.refused {
			return &verdict{reasons: prefix(fmt.Sprintf("env starts %q", "/"+name), ", which ", v.reasons), uses: v.uses}, nil
		}
		if first == nil {
			first = &verdict{reasons: prefix(fmt.Sprintf("env tries to start %q", "/"+name), ", which ", v.reasons), uses: v.uses}
		}
	}
	if first != nil {
		return first, nil
	}
	why := fmt.Sprintf("env finds no %q in PATH", program)
	if strings.ContainsAny(program, " \t") {
		why += ": env takes the rest of the line as one name, and env -S splits it"
	}
	return &verdict{reasons: []string{why}}, nil
}

// defaultSearchPath is the PATH that podman and Docker give a container whose image has none.
const defaultSearchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// searchPath returns PATH, or empty if PATH is set to "": the C library treats that as unset, but runc does not.
func (c *checker) searchPath(empty string) string {
	p, ok := c.env["PATH"]
	if !ok {
		return defaultSearchPath
	}
	return cmp.Or(p, empty)
}

// prefix puts a subject before each reason, and link between them.
// A reason that already has a subject follows a colon.
func prefix(subject, link string, reasons []string) []string {
	var prefixed []string
	for _, r := range reasons {
		between := link
		if strings.HasPrefix(r, "its ") || strings.HasPrefix(r, "env ") || strings.HasPrefix(r, `"`) {
			between = ": "
		}
		prefixed = append(prefixed, subject+between+r)
	}
	return prefixed
}

// judgeBinary returns the verdict on an ELF program: the kernel's (fs/binfmt_elf.c), and then its loader's.
func (c *checker) judgeBinary(e rootfs.LowerEntry, b *binaryFile) (*verdict, error) {
	if why := c.whyRefused(b); why != "" {
		return refusef("%s", why), nil
	}
	if b.Interp == "" {
		if len(b.Needed) > 0 {
			return &verdict{reasons: []string{"is not a program: it needs libraries but has no interpreter"}}, nil
		}
		return &verdict{uses: []string{e.Path}}, nil
	}
	at := c.absolute(b.Interp)
	interp, err := c.stat(at)
	if err != nil {
		return refusef("its ELF interpreter %q %s", b.Interp, c.whyMissing(at, err)), nil
	}
	if why := c.whyNotExecutable(interp); why != "" {
		return refusef("its ELF interpreter %q %s", b.Interp, why), nil
	}
	s, err := c.startable(interp)
	if err != nil {
		return nil, err
	}
	switch {
	case s.Binary == nil:
		return refusef("its ELF interpreter %q is not an ELF file", b.Interp), nil
	case c.whyRefused(s.Binary) != "":
		return refusef("its ELF interpreter %q %s", b.Interp, c.whyRefused(s.Binary)), nil
	case s.Binary.Machine != b.Machine:
		return refusef("its ELF interpreter %q is for %v, but the program for %v", b.Interp, s.Binary.Machine, b.Machine), nil
	}
	l, err := c.findLoader(interp, s.Binary)
	if err != nil {
		return nil, err
	}
	return c.load(l, at, e, b)
}

// whyRefused says why the kernel refuses an ELF file, or returns "".
func (c *checker) whyRefused(b *binaryFile) string {
	switch {
	case b.Damage != "":
		return "is damaged: " + b.Damage
	case b.Type != typeExec && b.Type != typeDyn:
		return "is an ELF file that is neither a program nor a library"
	case !runs(c.config.Architecture, b.Machine):
		return fmt.Sprintf("is for %v, but the image for %s", b.Machine, c.config.Architecture)
	}
	return ""
}
