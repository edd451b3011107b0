package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// outputFlags choose between text and JSON, and how many messages to print.
type outputFlags struct {
	quiet, debug, json bool
}

func (f *outputFlags) flags(fs *pflag.FlagSet) {
	f.jsonFlag(fs)
	f.messageFlags(fs)
}

func (f *outputFlags) jsonFlag(fs *pflag.FlagSet) {
	fs.BoolVar(&f.json, "json", false, "print the result as JSON")
}

// messageFlags adds --quiet and --debug, for commands without --json.
func (f *outputFlags) messageFlags(fs *pflag.FlagSet) {
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "print only errors")
	fs.BoolVar(&f.debug, "debug", false, "explain each step")
}

func (f *outputFlags) speaker(t terminal) *speaker {
	sp := &speaker{outputFlags: *f, w: t.err}
	if f, ok := t.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		sp.terminal = true
	}
	return sp
}

// speaker writes messages to standard error, each line with the program's name in front.
type speaker struct {
	outputFlags
	mu       sync.Mutex // guards lines and the bar
	w        io.Writer
	terminal bool
	current  *progress
	silence  time.Time // retrying notes nothing before
	drawn    bool      // the bar is on the current line
}

func (s *speaker) close() {
	if s.current != nil {
		s.current.done()
	}
}

func (s *speaker) notef(format string, args ...any) {
	if !s.quiet {
		s.line("note: "+format, args)
	}
}

func (s *speaker) hintf(format string, args ...any) {
	if !s.quiet {
		s.line("hint: "+format, args)
	}
}

func (s *speaker) debugf(format string, args ...any) {
	if s.debug {
		s.line("debug: "+format, args)
	}
}

// retrying notes why and when a request will be tried again. Failures until then only go to --debug,
// since many requests fail at once when a server is down. Several goroutines may call it.
func (s *speaker) retrying(err error, wait time.Duration) {
	now := time.Now()
	s.mu.Lock()
	first := now.After(s.silence)
	if first {
		s.silence = now.Add(min(wait, progressInterval)) // a long wait must not silence other failures
	}
	s.mu.Unlock()
	say := s.debugf
	if first {
		say = s.notef
	}
	say("%v; trying again in %v", err, wait.Round(100*time.Millisecond))
}

// line writes one line. Several goroutines may call it.
func (s *speaker) line(format string, args []any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drawn {
		fmt.Fprint(s.w, "\r\x1b[K") // clear the line
		s.drawn = false
	}
	fmt.Fprintf(s.w, "export-profile: "+format+"\n", args...)
}
