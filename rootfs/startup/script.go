package startup

import (
	"bytes"
	"strings"
)

// headSize is how much of a file the kernel reads to decide how to start it (BINPRM_BUF_SIZE since Linux 5.1).
const headSize = 256

// maxInterpreters is how many nested interpreters the kernel accepts (fs/exec.c).
const maxInterpreters = 5

// parseScript parses the first line of a script as the kernel does (fs/binfmt_script.c).
// head holds its first bytes, at most headSize. arg is everything behind the interpreter, as one word.
// If the kernel refuses the script, why says so.
func parseScript(head []byte) (interpreter, arg, why string) {
	buf := make([]byte, headSize)
	copy(buf, head)
	line := buf[2:]
	blank := func(c byte) bool { return c == ' ' || c == '\t' }
	if i := bytes.IndexByte(buf, '\n'); i >= 0 {
		line = buf[2:i]
	} else {
		start := 0
		for start < len(line) && blank(line[start]) {
			start++
		}
		if start == len(line) {
			return "", "", "its first line has no interpreter"
		}
		if !bytes.ContainsAny(line[start:], " \t\x00") {
			return "", "", "its first line is longer than 255 bytes, so that the interpreter is cut off"
		}
		line = line[:len(line)-1] // the last byte can only end an interpreter's name
	}
	line = bytes.Trim(line, " \t")
	if end := bytes.IndexAny(line, " \t\x00"); end < 0 {
		interpreter = string(line)
	} else {
		interpreter = string(line[:end])
		if line[end] != 0 {
			arg = strings.TrimLeft(string(line[end:]), " \t")
			arg, _, _ = strings.Cut(arg, "\x00")
		}
	}
	if interpreter == "" {
		return "", "", "its first line has no interpreter"
	}
	return interpreter, arg, ""
}

// bareSearchPath is the C library's search path without a PATH.
const bareSearchPath = "/bin:/usr/bin"

// parseEnv finds the program that env starts, given the argument on a script's first line,
// and the PATH that env searches, or "" for its own. known is false if the argument is too complex to tell.
func parseEnv(arg string) (program, path string, known bool) {
	words := []string{arg}
	rest, split := strings.CutPrefix(arg, "--split-string=")
	if !split {
		if rest, split = strings.CutPrefix(arg, "-S"); !split {
			rest, split = strings.CutPrefix(arg, "-vS")
		}
	}
	if split {
		if strings.ContainsAny(rest, `'"\$#`) {
			return "", "", false
		}
		words = strings.Fields(rest)
	}
	for len(words) > 0 {
		w := words[0]
		words = words[1:]
		name, value, assigns := strings.Cut(w, "=")
		switch {
		case w == "-i" || w == "-" || w == "--ignore-environment":
			path = bareSearchPath
		case w == "-v" || w == "--":
		case (w == "-u" || w == "-C") && len(words) > 0:
			words = words[1:]
		case strings.HasPrefix(w, "-"):
			return "", "", false
		case assigns && name == "PATH":
			path = value
		case assigns:
		default:
			return w, path, true
		}
	}
	return "", "", false
}
