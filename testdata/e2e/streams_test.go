package e2e

import (
	"io"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestStreams checks the output of nix-store --export in files and pipes, also compressed.
func TestStreams(t *testing.T) {
	export := exportFile(t, lab.object)
	registration := filepath.Join(lab.root.scratch(t), "registration")
	writeFile(t, registration, do(t, nix("nix-store", "--dump-db")).stdout)
	forms := []form{
		{name: "file", flags: []string{"--from", export}},
		{name: "file, no Nix", flags: []string{"--from", export}, noNix: true},
		{name: "file, as root", flags: []string{"--from", export}, person: &lab.root},
		{name: "file, references", flags: []string{"--from", export, "--references", registration}},
		{name: "file, references, by path", flags: []string{"--from", export, "--references", registration, "--profile", lab.object}},
		{name: "pipe", flags: []string{"--from", "-"}, stdin: func(t *testing.T) io.Reader { return pipe(t, exporting(t, lab.object)) }},
	}
	for _, c := range []string{"gzip", "xz", "zstd", "lz4", "lzip"} {
		command := compressor(t, c)
		forms = append(forms, form{name: "pipe, " + c, flags: []string{"--from", "-"}, stdin: func(t *testing.T) io.Reader {
			return pipe(t, exporting(t, lab.object), exec.Command(command[0], command[1:]...))
		}})
	}
	bzip2 := compressor(t, "bzip2")
	forms = append(forms, form{
		name:  "file, bzip2",
		flags: []string{"--from", pipedFile(t, exporting(t, lab.object), exec.Command(bzip2[0], bzip2[1:]...))},
	})
	checkForms(t, lab.object, forms)
}

// TestTwoStreams checks the error for two streams in one file.
func TestTwoStreams(t *testing.T) {
	object := dash(t)
	two := pipedFile(t, nix("sh", append([]string{"-c", `nix-store --export "$@"; nix-store --export "$@"`, "sh"}, closureOf(t, object)...)...))
	for _, m := range []mistake{
		{name: "plain", prepare: func(t *testing.T, dir string) { do(t, exec.Command("cp", two, filepath.Join(dir, "stream"))) }},
		{name: "gzip", prepare: func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, "stream"), do(t, exec.Command("gzip", "-1c", two)).stdout)
		}},
	} {
		m.status, m.args = 1, []string{"image", "--from", "stream", "oci:x"}
		m.err = `read export stream "stream": at byte [0-9]+: another export stream begins here`
		m.check(t)
	}
}

// exporting returns a command that exports an object's closure.
func exporting(t *testing.T, object string) *exec.Cmd {
	t.Helper()
	return nix("nix-store", append([]string{"--export"}, closureOf(t, object)...)...)
}

// exportFile exports an object's closure to a file.
func exportFile(t *testing.T, object string) string {
	t.Helper()
	return pipedFile(t, exporting(t, object))
}

// closureOf lists the closure of an object, references first.
func closureOf(t *testing.T, object string) []string {
	t.Helper()
	closure, _, err := queryClosure(object)
	if err != nil {
		t.Fatal(err)
	}
	return closure
}
