// Command export-profile makes root filesystems and OCI images of profiles of Nix and Guix.
//
// It opens a store, resolves a profile, finds its closure, plans layers and writes them to a destination:
// assemble.go and image.go follow that line. README.md has the rest.
//
// Exit status: 0 success, 1 failure, 2 wrong command line, 3 check, diff, verify or a budget found a fault.
// Standard output carries only the result; messages go to standard error.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
)

// gcPercent is GOGC, unless the user sets it: CI machines have more time than memory.
const gcPercent = 33

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ballast := &ballast{make([]byte, ballastSize)}
	ctx, stop := onSignal(context.Background())
	status := run(ctx, os.Args[1:], terminal{os.Stdin, os.Stdout, os.Stderr, ballast})
	stop() // a signal ends the process here
	runtime.KeepAlive(ballast)
	os.Exit(status)
}

// ballast is an allocation that delays the garbage collector: it first runs with 16 MiB in use, not 2,
// and most commands end before. The allocation is never written, so it takes no memory.
type ballast struct{ bytes []byte }

const ballastSize = 48 << 20

// drop lets go of the ballast, since it leaves room for 16 MiB of garbage. Work that takes long and much memory is better without.
func (b *ballast) drop() {
	if b != nil {
		b.bytes = nil
	}
}

// terminal has the streams of a command.
type terminal struct {
	in       *os.File
	out, err io.Writer
	ballast  *ballast // nil in tests
}

// signalError is the cause of a context that a signal cancelled.
type signalError struct{ os.Signal }

func (e signalError) Error() string { return "stopped by signal: " + e.String() }

// onSignal returns a context that the first SIGINT, SIGTERM or SIGHUP cancels, so that commands clean up.
// A second signal kills at once. The returned function ends the process by the signal, if there was one,
// as a waiting shell expects.
func onSignal(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		s := <-signals
		signal.Reset()
		cancel(signalError{s})
	}()
	return ctx, func() {
		var cause signalError
		if !errors.As(context.Cause(ctx), &cause) {
			return
		}
		if s, ok := cause.Signal.(syscall.Signal); ok {
			signal.Reset(s)
			_ = syscall.Kill(os.Getpid(), s)
			select {} // until the signal arrives
		}
	}
}

// run runs the program and returns its exit status. Tests call it.
func run(ctx context.Context, args []string, t terminal) (status int) {
	out := &resultWriter{to: t.out}
	t.out = out
	asJSON, err := dispatch(ctx, args, t)
	if err == nil || out.err != nil && errors.Is(err, out.err) {
		err = out.lost()
	}
	if err == nil {
		return 0
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause // report the signal, not its symptoms
	}
	newFailure(err).print(t.err, asJSON)
	return exitStatus(err)
}
