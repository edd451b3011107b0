package startup

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

var scripts = []struct {
	head             string
	interpreter, arg string
	ok               bool
}{
	{"#!/bin/sh\n", "/bin/sh", "", true},
	{"#! /bin/sh \t -e \t\nrest", "/bin/sh", "-e", true},
	{"#!/bin/sh", "/bin/sh", "", true},
	{"#!/bin/sh -a b  c\n", "/bin/sh", "-a b  c", true},
	{"#!\t/bin/sh\t-x", "/bin/sh", "-x", true},
	{"#!sh\n", "sh", "", true},
	{"#!/bin/sh\x00-x\n", "/bin/sh", "", true},
	{"#!/bin/sh\r\n", "/bin/sh\r", "", true},
	{"#!\n/bin/sh", "", "", false},
	{"#!", "", "", false},
	{"#!  \t", "", "", false},
	{"#!" + strings.Repeat(" ", 300) + "/bin/sh", "", "", false},
	{"#!/" + strings.Repeat("x", 251) + "\n", "/" + strings.Repeat("x", 251), "", true},
	{"#!/" + strings.Repeat("x", 252) + "\n", "/" + strings.Repeat("x", 252), "", true},
	{"#!/" + strings.Repeat("x", 252) + " a\n", "/" + strings.Repeat("x", 252), "", true},
	{"#!/" + strings.Repeat("x", 253) + "\n", "", "", false},
	{"#!/" + strings.Repeat("x", 300) + "\n", "", "", false},
	{"#!/bin/sh " + strings.Repeat("x", 300) + "\n", "/bin/sh", strings.Repeat("x", 245), true},
}

func head(s string) []byte { return []byte(s[:min(len(s), headSize)]) }

func TestParseScript(t *testing.T) {
	for _, test := range scripts {
		interpreter, arg, why := parseScript(head(test.head))
		if interpreter != test.interpreter || arg != test.arg || (why == "") != test.ok {
			t.Errorf("parseScript(%.40q) = %q, %q, %q; want %q, %q, ok: %v", test.head, interpreter, arg, why, test.interpreter, test.arg, test.ok)
		}
	}
}

// TestScriptsAgainstKernel checks parseScript against this machine's kernel: both accept the same first lines,
// with the same interpreters and arguments.
func TestScriptsAgainstKernel(t *testing.T) {
	dir := t.TempDir()
	echo := filepath.Join(dir, "echo") // a short name, in the working directory
	if err := os.Symlink("/bin/echo", echo); err != nil {
		t.Fatal(err)
	}
	for i, line := range []string{
		"#!echo\n", "#! echo  a  b \t\n", "#!echo", "#!\techo\ta", "#!\necho", "#!", "#!  ", "#!echo\x00a\n", "#!echo\r\n",
		"#!echo " + strings.Repeat("x", 300) + "\n", "#!echo " + strings.Repeat("x ", 200),
		"#!./" + strings.Repeat("/", 246) + "echo\n", "#!./" + strings.Repeat("/", 247) + "echo\n", "#!./" + strings.Repeat("/", 248) + "echo\n",
		"#!./" + strings.Repeat("/", 246) + "echo a\n", "#!./" + strings.Repeat("/", 247) + "echo a\n", "#!./" + strings.Repeat("/", 248) + "echo a\n",
		"#!" + strings.Repeat(" ", 249) + "echo\n", "#!" + strings.Repeat(" ", 250) + "echo\n", "#!" + strings.Repeat(" ", 254) + "echo\n",
	} {
		name := filepath.Join(dir, "script")
		_ = os.Remove(name)
		if err := os.WriteFile(name, []byte(line), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("./script", "given")
		cmd.Dir = dir
		out, err := cmd.Output()
		interpreter, arg, why := parseScript(head(line))
		switch {
		case why != "":
			if !errors.Is(err, syscall.ENOEXEC) && !errors.Is(err, syscall.EACCES) {
				t.Errorf("%d: %.40q: the kernel says %q, %v; parseScript refuses: %s", i, line, out, err, why)
			}
		case filepath.Base(interpreter) != "echo":
			if !errors.Is(err, syscall.ENOENT) {
				t.Errorf("%d: %.40q: the kernel says %q, %v; parseScript finds the interpreter %q", i, line, out, err, interpreter)
			}
		default:
			want := strings.TrimPrefix(arg+" ./script given\n", " ")
			if err != nil || string(out) != want {
				t.Errorf("%d: %.40q: the kernel says %q, %v; want %q", i, line, out, err, want)
			}
		}
	}
}

// TestDepthAgainstKernel checks maxInterpreters against this machine's kernel.
func TestDepthAgainstKernel(t *testing.T) {
	dir := t.TempDir()
	files := fileSet{"lib/ld.so": glibcLoader, "bin/echo": elfFile{typ: typeExec}}
	if err := os.Symlink("/bin/echo", filepath.Join(dir, "0")); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= maxInterpreters+2; i++ {
		name := string(rune('0' + i))
		line := "#!" + string(rune('0'+i-1)) + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(line), 0o755); err != nil {
			t.Fatal(err)
		}
		files["bin/s"+name] = strings.Replace(line, "#!", "#!/bin/s", 1)
		if i == 1 {
			files["bin/s1"] = "#!/bin/echo\n"
		}
		cmd := exec.Command("./" + name)
		cmd.Dir = dir
		err := cmd.Run()
		if err != nil && !errors.Is(err, syscall.ELOOP) {
			t.Fatalf("%d interpreters: the kernel says %v", i, err)
		}
		r := files.check(t, Config{Env: []string{"PATH=/none"}, Cmd: []string{"/bin/s" + name}})
		if (err == nil) != (len(r.Errors) == 0) {
			t.Errorf("%d interpreters: the kernel says %v; Check says %v", i, err, r.Errors)
		}
	}
}

func FuzzParseScript(f *testing.F) {
	for _, test := range scripts {
		f.Add([]byte(test.head))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !strings.HasPrefix(string(b), "#!") {
			return
		}
		interpreter, arg, why := parseScript(b[:min(len(b), headSize)])
		if (interpreter == "") != (why != "") || strings.ContainsAny(interpreter, " \t\n\x00") || strings.ContainsAny(arg, "\n\x00") {
			t.Errorf("parseScript(%q) = %q, %q, %q", b, interpreter, arg, why)
		}
	})
}

func TestParseEnv(t *testing.T) {
	for _, test := range []struct {
		arg, program, path string
		known              bool
	}{
		{"python3", "python3", "", true},
		{"python3 -u", "python3 -u", "", true},
		{"-S python3 -u", "python3", "", true},
		{"-Spython3", "python3", "", true},
		{"-vS python3", "python3", "", true},
		{"--split-string=A=1 python3", "python3", "", true},
		{"-S PATH=/a:/b python3", "python3", "/a:/b", true},
		{"-S -i python3", "python3", "/bin:/usr/bin", true},
		{"-S -u HOME -- python3", "python3", "", true},
		{"-S 'a b'", "", "", false},
		{"-S ${X}", "", "", false},
		{"-S --chdir=/x python3", "", "", false},
		{"-0", "", "", false},
		{"A=1", "", "", false},
	} {
		program, path, known := parseEnv(test.arg)
		if program != test.program || path != test.path || known != test.known {
			t.Errorf("parseEnv(%q) = %q, %q, %v; want %q, %q, %v", test.arg, program, path, known, test.program, test.path, test.known)
		}
	}
}
