package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
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
	fs.BoolVarP(&s.quiet, "quiet", "q", false, "say nothing but errors")
	fs.BoolVar(&s.debug, "debug", false, "say what is being done")
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

// progress is said as a bar with bytes and the time left on a terminal,
// and as a line now and then elsewhere, so that a CI log shows what takes long.
type progress struct {
	speaker *speaker
	bytes   atomic.Int64
	bar     *progressbar.ProgressBar
	stop    chan struct{}
	stopped chan struct{}
}

// every is how often progress is said where there is no terminal.
const every = 10 * time.Second

// progress begins to say how many of total bytes are done; 0 if nobody knows the total.
func (s *speaker) progress(what string, total int64) *progress {
	return s.progressSending(what, total, new(atomic.Int64))
}

// progressSending also says how many bytes have been sent meanwhile, if any.
func (s *speaker) progressSending(what string, total int64, sent *atomic.Int64) *progress {
	s.close()
	p := &progress{speaker: s, stop: make(chan struct{}), stopped: make(chan struct{})}
	s.current = p
	tick := every
	if s.terminal && !s.quiet {
		bound := total
		if bound == 0 {
			bound = -1
		}
		options := []progressbar.Option{
			progressbar.OptionSetDescription(what),
			progressbar.OptionSetWriter(s.w),
			progressbar.OptionClearOnFinish(),
			// Else it draws by itself, too, without a lock, and after the end.
			progressbar.OptionSetSpinnerChangeInterval(0),
		}
		roomy := s.roomy()
		if roomy || total == 0 { // which has no bar
			options = append(options, progressbar.OptionShowBytes(true), progressbar.OptionShowCount())
		}
		if !roomy { // a line that wraps is not taken back
			sent = new(atomic.Int64)
			options = append(options, progressbar.OptionSetElapsedTime(false))
		}
		p.bar = progressbar.NewOptions64(bound, append(options, progressbar.OptionSetPredictTime(roomy))...)
		tick = 100 * time.Millisecond
	}
	go func() {
		defer close(p.stopped)
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		for {
			select {
			case <-p.stop:
				return
			case <-ticker.C:
			}
			n := p.bytes.Load()
			switch {
			case n == 0:
			case p.bar != nil:
				if total > 0 {
					n = min(n, total) // contents are read once, but links and headers count in the total
				}
				s.mu.Lock()
				p.bar.Describe(what + sending(sent))
				_ = p.bar.Set64(n)
				s.drawn = true
				s.mu.Unlock()
			case s.quiet:
			case total > 0:
				s.line("%s: %d of %d MB%s", []any{what, n / 1e6, total / 1e6, sending(sent)})
			default:
				s.line("%s: %d MB%s", []any{what, n / 1e6, sending(sent)})
			}
		}
	}()
	return p
}

// roomy says whether a line of progress fits into the terminal with all that it may say; the bar itself shrinks.
func (s *speaker) roomy() bool {
	f, ok := s.w.(*os.File)
	if !ok {
		return true
	}
	width, _, err := term.GetSize(int(f.Fd()))
	return err != nil || width <= 0 || width >= 80
}

func sending(sent *atomic.Int64) string {
	if n := sent.Load(); n > 0 {
		return fmt.Sprintf(", %d MB sent", n/1e6)
	}
	return ""
}

// add may be called from several goroutines.
func (p *progress) add(n int64) { p.bytes.Add(n) }

// done ends what is said; it may be called again.
func (p *progress) done() {
	select {
	case <-p.stopped:
		return
	default:
	}
	close(p.stop)
	<-p.stopped
	if p.bar != nil {
		p.speaker.mu.Lock()
		defer p.speaker.mu.Unlock()
		_ = p.bar.Clear()
		p.speaker.drawn = false
	}
}

// contents are the part of every --json result that says what was written.
type contents struct {
	Profiles []string `json:"profiles"` // store paths
	Paths    int      `json:"paths"`    // store paths of the closure
	NarSize  int64    `json:"narSize"`  // bytes of the closure
	Env      []string `json:"env"`
}

func (a *assembled) contents() contents {
	c := contents{Paths: len(a.closure.Infos), NarSize: a.closure.Size(), Env: a.base.Env}
	for _, p := range a.closure.Roots {
		c.Profiles = append(c.Profiles, string(p))
	}
	return c
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// count is a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
