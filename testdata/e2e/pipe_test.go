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

// startPipe starts a pipeline of commands.
// out is the output of the last command. wait closes it and waits for all commands, which must succeed.
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
		from.Close() // ends the commands if not all output was read
		for i, cmd := range commands {
			if err := cmd.Wait(); err != nil {
				t.Errorf("%q: %v\nstderr: %s", cmd.Args, err, stderr[i].String())
			}
		}
	})
}

// pipe returns the output of a pipeline, which ends with the test.
func pipe(t *testing.T, commands ...*exec.Cmd) *os.File {
	t.Helper()
	out, wait := startPipe(t, commands...)
	t.Cleanup(wait)
	return out
}

// pipeInto runs a pipeline of two commands to its end.
func pipeInto(t *testing.T, from, to *exec.Cmd) result {
	t.Helper()
	out, wait := startPipe(t, from)
	defer wait()
	to.Stdin = out
	return do(t, to)
}

// pipedFile writes the output of a pipeline to a file.
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
