package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// outputFlags choose between text and JSON, and how many messages to print.
type outputFlags struct {
	quiet, debug, json bool
}

func (f *outputFlags) flags(fs *pflag.FlagSet) {
	f.jsonFlag(fs)
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "print only errors")
	fs.BoolVar(&f.debug, "debug", false, "explain each step")
}

func (f *outputFlags) jsonFlag(fs *pflag.FlagSet) {
	fs.BoolVar(&f.json, "json", false, "print the result and all messages as JSON")
}

func (f *outputFlags) speaker(t terminal) *speaker {
	sp := &speaker{outputFlags: *f, w: t.err}
	if file, ok := t.err.(*os.File); ok && term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb" && !f.json {
		sp.terminal = true
	}
	return sp
}

// speaker writes messages to standard error: each line with the program's name in front or, with --json, as a JSON object.
type speaker struct {
	outputFlags
	mu       sync.Mutex // guards lines and the bar
	w        io.Writer
	terminal bool
	current  *progress
	silence  time.Time // retrying notes nothing before
	skips    int       // calls of skipping
	drawn    bool      // the bar is on the current line

	once map[string]bool // texts of noteOnce
}

func (s *speaker) close() {
	if s.current != nil {
		s.current.done()
	}
}

// closing closes c at the end of a run. If the run has succeeded, its result is visible and stays right:
// a note says what could not be cleaned up. Other errors concern files that were only read, and go to --debug.
func (s *speaker) closing(err *error, c io.Closer) {
	closed := c.Close()
	if *err != nil {
		*err = errors.Join(*err, closed)
		return
	}
	s.noteLeft(closed)
}

// noteLeft notes what a run that has succeeded could not clean up.
func (s *speaker) noteLeft(err error) {
	var left *staging.LeftError
	switch {
	case errors.As(err, &left):
		s.notef("could not clean up: %v; the next run with the same destination does", left)
	case err != nil:
		s.debugf("close: %v", err)
	}
}

// closer is a function that closes something.
type closer func() error

func (c closer) Close() error { return c() }

func (s *speaker) notef(format string, args ...any) {
	if !s.quiet {
		s.message("note", format, args)
	}
}

// noteOnce is notef for a note that says nothing new when it comes again, as about a second image.
func (s *speaker) noteOnce(text string) {
	if s.once[text] {
		return
	}
	if s.once == nil {
		s.once = make(map[string]bool)
	}
	s.once[text] = true
	s.notef("%s", text)
}

func (s *speaker) hintf(format string, args ...any) {
	if !s.quiet {
		s.message("hint", format, args)
	}
}

func (s *speaker) debugf(format string, args ...any) {
	if s.debug {
		s.message("debug", format, args)
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

// mostSkips limits the notes about store paths that come from a later source: a pruned cache may lack thousands.
const mostSkips = 3

// skipping notes that a source lacks the files of a store path and another one provides them.
// After the first few, only --debug names more. Several goroutines may call it.
func (s *speaker) skipping(p profile.Path, err error) {
	s.mu.Lock()
	s.skips++
	n := s.skips
	s.mu.Unlock()
	switch {
	case n <= mostSkips:
		s.notef("%s comes from the next source: %v", p.Base(), err)
	case n == mostSkips+1:
		s.notef("more store paths come from the next source; --debug names them")
		fallthrough
	default:
		s.debugf("%s comes from the next source: %v", p.Base(), err)
	}
}

// message writes one message. Several goroutines may call it.
func (s *speaker) message(kind, format string, args []any) {
	if s.json {
		s.object(map[string]string{kind: fmt.Sprintf(format, args...)})
		return
	}
	s.line(kind+": "+format, args)
}

// object writes a message as a line of JSON. Several goroutines may call it.
func (s *speaker) object(v any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	printLine(s.w, v)
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
