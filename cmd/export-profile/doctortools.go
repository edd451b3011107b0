package main

import (
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// containerTools are the programs that load or copy images, those that run them first.
var containerTools = []string{"podman", "docker", "nerdctl", "ctr", "buildah", "skopeo", "umoci"}

// findTools looks for container tools in PATH. exec.LookPath refuses programs in the working directory.
func (d *doctor) findTools(ctx context.Context) {
	for _, name := range containerTools {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		t := foundTool{Name: name, Path: path, Usable: true}
		switch name {
		case "podman":
			d.inspectPodman(&t)
		case "docker":
			d.inspectDocker(ctx, &t)
		}
		d.Tools = append(d.Tools, t)
	}
}

const (
	toolTimeout = 5 * time.Second // a busy machine takes a while to start a program
	maxToolSays = 4 << 10
)

// askTools asks all tools for their version at once.
func (d *doctor) askTools(ctx context.Context) {
	var group sync.WaitGroup
	for i := range d.Tools {
		group.Go(func() { d.Tools[i].Version = toolVersion(ctx, d.Tools[i].Path, toolTimeout) })
	}
	group.Wait()
}

// versionNumber matches the version in what a tool says.
var versionNumber = regexp.MustCompile(`\bv?([0-9]+\.[0-9][0-9A-Za-z.+~-]*)`)

// toolVersion asks a program for its version. It returns "" if that takes too long or fails.
func toolVersion(ctx context.Context, program string, timeout time.Duration) string {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out := &beginning{left: maxToolSays}
	cmd := exec.CommandContext(ctx, program, "--version")
	cmd.Dir, cmd.Stdout = "/", out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with what it has started
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return ""
	}
	if m := versionNumber.FindSubmatch(out.b); m != nil {
		return strings.TrimRight(string(m[1]), ".,")
	}
	return ""
}

// beginning keeps the first bytes of what is written, and accepts the rest.
type beginning struct {
	b    []byte
	left int
}

func (w *beginning) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.b, w.left = append(w.b, p[:n]...), w.left-n
	return len(p), nil
}

// String describes a tool on a line.
func (t foundTool) String() string {
	s := fmt.Sprintf("%s %s", t.Name, cmp.Or(t.Version, "of an unknown version"))
	for _, note := range t.Notes {
		s += ", " + note
	}
	return s
}
