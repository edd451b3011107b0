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

// saying is how much a command says.
type saying struct {
	quiet, debug, json bool
}

func (s *saying) flags(fs *pflag.FlagSet) {
	s.jsonFlag(fs)
	s.noiseFlags(fs)
}

func (s *saying) jsonFlag(fs *pflag.FlagSet) {
	fs.BoolVar(&s.json, "json", false, "print the result as JSON")
}

// noiseFlags are those of commands that have nothing but JSON, or nothing of it, to print.
func (s *saying) noiseFlags(fs *pflag.FlagSet) {
	fs.BoolVarP(&s.quiet, "quiet", "q", false, "print only errors")
	fs.BoolVar(&s.debug, "debug", false, "explain each step")
}

func (s *saying) speaker(t terminal) *speaker {
	sp := &speaker{saying: *s, w: t.err}
	if f, ok := t.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		sp.terminal = true
	}
	return sp
}

// speaker says on standard error what is going on, each line with the program's name before it.
type speaker struct {
	saying
	mu       sync.Mutex // of each line, and of drawing
	w        io.Writer
	terminal bool
	current  *progress
	silence  time.Time // before which no more waiting is said
	drawn    bool      // there is a bar where the next line begins
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

// retrying says why something is tried again, and in how long. What fails meanwhile, as many at once do
// when a server is gone, is for --debug. It may be called from several goroutines.
func (s *speaker) retrying(err error, wait time.Duration) {
	now := time.Now()
	s.mu.Lock()
	first := now.After(s.silence)
	if first {
		s.silence = now.Add(min(wait, every)) // others may fail for other reasons
	}
	s.mu.Unlock()
	say := s.debugf
	if first {
		say = s.notef
	}
	say("%v; trying again in %v", err, wait.Round(100*time.Millisecond))
}

// line may be called from several goroutines.
func (s *speaker) line(format string, args []any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drawn {
		fmt.Fprint(s.w, "\r\x1b[K") // to the beginning of the line, and nothing in it
		s.drawn = false
	}
	fmt.Fprintf(s.w, "export-profile: "+format+"\n", args...)
}
