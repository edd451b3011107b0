package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sample holds the resources that one command used, including its children.
type sample struct {
	Wall    float64 `json:"wall"`            // seconds
	CPU     float64 `json:"cpu"`             // seconds
	RSS     int64   `json:"rss"`             // bytes, of the largest process
	Written int64   `json:"written"`         // bytes, to files on disks
	Size    int64   `json:"size"`            // bytes of the result, or the number of open()s
	Input   int64   `json:"input,omitempty"` // bytes of the store objects, for rows that compare values per byte of them
	Others  float64 `json:"others"`          // cores that other programs used meanwhile
}

// series holds the samples of an action, one per round, or the error that prevented them.
type series struct {
	samples []sample
	err     error
}

// notAvailableError reports a feature that the measured export-profile lacks.
type notAvailableError struct{ what string }

func (e *notAvailableError) Error() string { return e.what + ": not available" }

// run runs a command to its end and measures it.
func (l *lab) run(args ...string) (sample, error) {
	ctx, cancel := context.WithTimeoutCause(l.ctx, l.options.timeout, fmt.Errorf("took longer than %v", l.options.timeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = l.env
	var stderr bytes.Buffer
	cmd.Stderr = &tail{b: &stderr}
	// A process group, so that Cancel stops a whole pipeline.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second

	busy, err := readBusy()
	if err != nil {
		return sample{}, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return sample{}, err
	}
	// Read the kernel's counters before Wait, which discards them.
	waitErr := awaitExit(cmd.Process.Pid)
	s := sample{Wall: time.Since(start).Seconds()}
	written, ioErr := readWritten(cmd.Process.Pid)
	busyAfter, busyErr := readBusy()
	err = cmd.Wait()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err = errors.Join(err, waitErr, ioErr, busyErr); err != nil {
		return s, fmt.Errorf("%.200q: %w\n%s", args, err, stderr.String())
	}
	s.Written = written
	s.CPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	s.Others = max(0, busyAfter-busy-s.CPU) / max(s.Wall, 0.01)
	// Linux includes the memory that this process had at the fork, so the value is at least those few MB.
	s.RSS = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	return s, nil
}

// script measures a shell script with the arguments $1, $2 and so on.
func (l *lab) script(script string, args ...string) (sample, error) {
	return l.run(append([]string{"bash", "-euo", "pipefail", "-c", script, "bash"}, args...)...)
}

// output runs a command without measuring it, and returns its output.
func (l *lab) output(args ...string) (string, error) {
	cmd := exec.CommandContext(l.ctx, args[0], args[1:]...)
	cmd.Env = l.env
	var stderr bytes.Buffer
	cmd.Stderr = &tail{b: &stderr}
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%.200q: %w\n%s", args, err, stderr.String())
	}
	return string(out), nil
}

// awaitExit waits until a process has ended, but leaves it as a zombie.
func awaitExit(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// readWritten returns how many bytes a process and its finished children wrote to disk.
func readWritten(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			return strconv.ParseInt(strings.TrimSpace(n), 10, 64)
		}
	}
	return 0, errors.New("the kernel does not report written bytes")
}

// readBusy returns the CPU seconds that all cores together spent working, or that the hypervisor took (steal).
func readBusy() (float64, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	var user, nice, system, idle, iowait, irq, softirq, steal float64
	_, err = fmt.Sscan(strings.TrimPrefix(string(b), "cpu"), &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal)
	return (user + nice + system + irq + softirq + steal) / 100, err // USER_HZ is always 100
}

// awaitPause waits until other programs use little CPU, up to options.patience.
func (l *lab) awaitPause() error {
	const look = 500 * time.Millisecond
	for end := time.Now().Add(l.options.patience); time.Now().Before(end); {
		before, err := readBusy()
		if err != nil {
			return err
		}
		select {
		case <-time.After(look):
		case <-l.ctx.Done():
			return l.ctx.Err()
		}
		after, err := readBusy()
		if err != nil || after-before < look.Seconds()/5 {
			return err
		}
	}
	return nil
}

// tail keeps about the last 4 KB written to it.
type tail struct{ b *bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	t.b.Write(p)
	if n := t.b.Len() - 4096; n > 0 {
		t.b.Next(n)
	}
	return len(p), nil
}

// diskSize returns the total size of the regular files at or below root. It counts hard-linked files once.
func diskSize(root string) (size int64, err error) {
	type inode struct{ dev, ino uint64 }
	seen := make(map[inode]bool)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		st := fi.Sys().(*syscall.Stat_t)
		if i := (inode{st.Dev, st.Ino}); !seen[i] {
			seen[i] = true
			size += fi.Size()
		}
		return nil
	})
	return size, err
}

// removeAll removes trees. Read-only directories are no obstacle, since root runs it.
func removeAll(paths ...string) error {
	var errs []error
	for _, p := range paths {
		errs = append(errs, os.RemoveAll(p))
	}
	return errors.Join(errs...)
}

func cores() int { return runtime.NumCPU() }
