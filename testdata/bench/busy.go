package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	busyColumns = 60
	busyRows    = 2 // lines of the chart for each core
	busyPeriod  = 10 * time.Millisecond
)

// usage is the time that threads ran on a core, or waited for one that another thread had, of any program.
type usage struct{ ran, waited time.Duration }

// moment says how much the processes of a group have used since their start.
type moment struct {
	at time.Duration
	usage
}

// showBusy runs a command, and then draws how many cores it kept busy over time. Its output goes to standard error.
func showBusy(ctx context.Context, w io.Writer, args []string) error {
	if len(args) == 0 {
		return errors.New("-busy needs a command")
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stderr, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- awaitExit(cmd.Process.Pid) }()
	threads := make(map[string]usage)
	var moments []moment
	var pids []string
	ticks := 0
	ticker := time.NewTicker(busyPeriod)
	defer ticker.Stop()
	for {
		var err error
		ended := false
		select {
		case err = <-done:
			ended = true
		case <-ticker.C:
			if ticks++; ticks%20 == 1 { // looking at all processes takes longer
				pids = findProcesses(cmd.Process.Pid)
			}
			addThreads(threads, pids)
		}
		m := moment{at: time.Since(start)}
		for _, u := range threads {
			m.ran += u.ran
			m.waited += u.waited
		}
		moments = append(moments, m)
		if ended {
			err = errors.Join(err, cmd.Wait())
			drawBusy(w, moments, runtime.NumCPU())
			if s := cmd.ProcessState; s != nil {
				fmt.Fprintf(w, "user %.2f s, system %.2f s\n", s.UserTime().Seconds(), s.SystemTime().Seconds())
			}
			return err
		}
	}
}

// findProcesses returns the processes of a group.
func findProcesses(group int) (pids []string) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		// The command's name can contain spaces and parentheses; state, parent and group follow it.
		fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		if len(fields) >= 3 && string(fields[2]) == strconv.Itoa(group) {
			pids = append(pids, filepath.Dir(name))
		}
	}
	return pids
}

// addThreads notes the usage of each thread of some processes. Threads and processes that have ended keep theirs.
func addThreads(threads map[string]usage, pids []string) {
	for _, pid := range pids {
		tasks, _ := filepath.Glob(pid + "/task/*/schedstat")
		for _, task := range tasks {
			b, err := os.ReadFile(task)
			if err != nil {
				continue
			}
			var u usage
			if _, err := fmt.Sscan(string(b), (*int64)(&u.ran), (*int64)(&u.waited)); err == nil {
				threads[task] = u
			}
		}
	}
}

// drawBusy draws the busy cores between moments, which are in the order of time. Each column covers an equal time.
// Dots stand for cores that the command waited for.
func drawBusy(w io.Writer, moments []moment, cores int) {
	if len(moments) == 0 {
		return
	}
	end := moments[len(moments)-1]
	level := func(used, d time.Duration) int { // in eighths of a line
		return int(math.Round(float64(used) / float64(max(d, 1)) * busyRows * 8))
	}
	var busy, wanted [busyColumns]int
	for i := range busy {
		from, to := end.at*time.Duration(i)/busyColumns, end.at*time.Duration(i+1)/busyColumns
		before, after := usageAt(moments, from), usageAt(moments, to)
		busy[i] = level(after.ran-before.ran, to-from)
		wanted[i] = level(after.ran-before.ran+after.waited-before.waited, to-from)
	}
	for row := cores*busyRows - 1; row >= 0; row-- {
		var line strings.Builder
		for i := range busy {
			r := []rune(" ▁▂▃▄▅▆▇█")[min(max(busy[i]-8*row, 0), 8)]
			if r == ' ' && wanted[i]-8*row >= 4 {
				r = '·'
			}
			line.WriteRune(r)
		}
		fmt.Fprintf(w, "%4.1f |%s|\n", float64(row+1)/busyRows, line.String())
	}
	last := usageAt(moments, end.at*3/4)
	fmt.Fprintf(w, "     0 s%*s\n", busyColumns-2, fmt.Sprintf("%.2f s", end.at.Seconds()))
	fmt.Fprintf(w, "busy cores: %.2f, and %.2f waited for; in the last quarter %.2f and %.2f\n",
		perSecond(end.ran, end.at), perSecond(end.waited, end.at),
		perSecond(end.ran-last.ran, end.at/4), perSecond(end.waited-last.waited, end.at/4))
}

func perSecond(used, d time.Duration) float64 { return float64(used) / float64(max(d, 1)) }

// usageAt interpolates the usage at a time.
func usageAt(moments []moment, at time.Duration) usage {
	var before moment
	for _, m := range moments {
		if m.at < at {
			before = m
			continue
		}
		share := float64(at-before.at) / float64(max(m.at-before.at, 1))
		between := func(a, b time.Duration) time.Duration { return a + time.Duration(share*float64(b-a)) }
		return usage{between(before.ran, m.ran), between(before.waited, m.waited)}
	}
	return before.usage
}
