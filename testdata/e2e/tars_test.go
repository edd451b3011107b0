package e2e

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestTars checks archives of stores by GNU tar.
func TestTars(t *testing.T) {
	relocated, optimised := relocate(t, lab.object), optimise(t, nixCopy(t, lab.object))
	files := lab.root.scratch(t)
	dump := filepath.Join(files, "dump-db")
	writeFile(t, dump, do(t, nix("nix-store", "--dump-db")).stdout)
	list := filepath.Join(files, "paths")
	writeFile(t, list, do(t, nix("nix-store", "-qR", lab.object)).stdout)
	tar := func(args ...string) string {
		f, err := os.CreateTemp(files, "tar")
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		do(t, exec.Command("tar", append([]string{"--create", "--file", f.Name()}, args...)...))
		do(t, exec.Command("chmod", "644", f.Name()))
		return f.Name()
	}
	plain, paths := tar("-C", relocated, "nix"), tar("--files-from", list)
	through := func(name, compression string) func(*testing.T) io.Reader {
		command := append(compressor(t, compression), name)
		return func(t *testing.T) io.Reader { return pipe(t, exec.Command(command[0], command[1:]...)) }
	}
	file := func(name, compression string) string {
		command := append(compressor(t, compression), name)
		return pipedFile(t, exec.Command(command[0], command[1:]...))
	}
	stdin, references := []string{"--from", "-"}, []string{"--references", dump}
	checkForms(t, lab.object, []form{
		{name: "file", flags: []string{"--from", plain}, noNix: true},
		{name: "stdin", flags: stdin, noNix: true, stdin: func(t *testing.T) io.Reader { return pipe(t, exec.Command("cat", plain)) }},
		{name: "gzip, file", flags: []string{"--from", file(plain, "gzip")}},
		{name: "zstd, stdin", flags: stdin, noNix: true, stdin: through(plain, "zstd")},
		{name: "from within, pax", flags: []string{"--from", tar("--format=pax", "-C", relocated, ".")}},
		{name: "optimised", flags: []string{"--from", tar("-C", optimised, "nix"), "--profile", lab.object}, noNix: true},
		{name: "paths, gzip, stdin", flags: slices.Concat(stdin, references), stdin: through(paths, "gzip"), noNix: true},
		{name: "paths, xz, file", flags: append([]string{"--from", file(paths, "xz")}, references...)},
		{name: "paths, zstd, file, as root", flags: append([]string{"--from", file(paths, "zstd")}, references...), person: &lab.root},
		{name: "absolute paths", flags: append([]string{"--from", tar("--absolute-names", "--files-from", list)}, references...)},
		{name: "store directory", flags: append([]string{"--from", tar("-C", relocated+"/nix", "store")}, references...)},
		{name: "paths, scanned", flags: []string{"--from", paths}, says: "note: no database in "},
	})
}
