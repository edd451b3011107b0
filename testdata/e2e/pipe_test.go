package e2e

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// startPipe starts a chain of commands, each of which reads what the one before it writes.
// out is what the last one writes; wait closes it and waits for them all, which must have succeeded.
func startPipe(t *testing.T, commands ...*exec.Cmd) (out *os.File, wait func()) {
	t.Helper()
	var from *os.File
	stderr := make([]bytes.Buffer, len(commands))
	for i, cmd := range commands {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if from != nil {
			cmd.Stdin = from
		}
		cmd.Stdout, cmd.Stderr = w, &stderr[i]
		if err := cmd.Start(); err != nil {
			t.Fatalf("%q: %v", cmd.Args, err)
		}
		w.Close()
		if from != nil {
			from.Close()
		}
		from = r
	}
	return from, sync.OnceFunc(func() {
		from.Close() // so that they end, if not all was read
		for i, cmd := range commands {
			if err := cmd.Wait(); err != nil {
				t.Errorf("%q: %v\nstderr: %s", cmd.Args, err, stderr[i].String())
			}
		}
	})
}

// pipe is what a chain of commands writes, for the time of the test.
func pipe(t *testing.T, commands ...*exec.Cmd) *os.File {
	t.Helper()
	out, wait := startPipe(t, commands...)
	t.Cleanup(wait)
	return out
}

// pipeInto runs two commands to their end, the second of which reads what the first one writes.
func pipeInto(t *testing.T, from, to *exec.Cmd) result {
	t.Helper()
	out, wait := startPipe(t, from)
	defer wait()
	to.Stdin = out
	return do(t, to)
}

// pipedFile is a file with what a chain of commands writes.
func pipedFile(t *testing.T, commands ...*exec.Cmd) string {
	t.Helper()
	name := filepath.Join(lab.root.scratch(t), "piped")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	out, wait := startPipe(t, commands...)
	_, err = io.Copy(f, out)
	wait()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}
