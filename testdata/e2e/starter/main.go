// Command starter is the first process of a container. It runs every program in PATH with --version,
// and prints a JSON array that tells for each program whether the kernel and the loader could start it.
// It is static, so that it starts in any container. It uses no shell, since a shell would run
// a file as a script if the kernel refuses it.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// outcome is the result of starting a program.
type outcome struct {
	Program string
	Started bool
	Said    string
}

func main() {
	var outcomes []*outcome
	seen := make(map[string]bool)
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			name := dir + "/" + e.Name()
			fi, err := os.Stat(name)
			if err != nil || !fi.Mode().IsRegular() || fi.Mode()&0o111 == 0 || seen[e.Name()] {
				continue
			}
			seen[e.Name()] = true
			outcomes = append(outcomes, &outcome{Program: name})
		}
	}
	turns := make(chan struct{}, 8) // more than cores, since most programs wait for something
	var running sync.WaitGroup
	for _, o := range outcomes {
		turns <- struct{}{}
		running.Go(func() {
			o.Started, o.Said = start(o.Program)
			<-turns
		})
	}
	running.Wait()
	if err := json.NewEncoder(os.Stdout).Encode(outcomes); err != nil {
		fmt.Fprintln(os.Stderr, "starter:", err)
		os.Exit(1)
	}
}

// loaderSays matches the first line of output of loaders and env if a program does not start.
var loaderSays = regexp.MustCompile(`^(Error loading shared library |[^ ]*: error while loading shared libraries: |` +
	`[^ ]*: .*: version .* not found \(required by |([^ ]*/)?env: .*(No such file|not found|Permission denied|Too many levels))`)

func start(name string) (ok bool, said string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, "--version")
	cmd.Path, cmd.Err = name, nil
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && ctx.Err() == nil && !errors.Is(err, exec.ErrWaitDelay) {
		return false, err.Error()
	}
	for line := range strings.Lines(out.String()) {
		if said = strings.TrimSpace(line); !strings.HasPrefix(said, "ERROR: ld.so: ") { // ld.so continues after these
			break
		}
	}
	status := cmd.ProcessState.ExitCode()
	return !((status == 127 || status == 126 || status == 1) && loaderSays.MatchString(said)), fmt.Sprintf("%d %.200s", status, said)
}
