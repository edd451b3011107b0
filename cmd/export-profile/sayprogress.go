package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how many bytes are done: on a terminal as a bar with the time left,
// elsewhere as a line now and then, so that a CI log shows what takes long.
type progress struct {
	speaker *speaker
	what    string
	total   int64         // bytes, or 0 if unknown
	sent    *atomic.Int64 // bytes
	bytes   atomic.Int64
	bar     *progressbar.ProgressBar
	stop    chan struct{}
	stopped chan struct{}
}

// progressMessage is a line of progress with --json.
type progressMessage struct {
	What  string `json:"what"`
	Bytes int64  `json:"bytes"`
	Total int64  `json:"total,omitempty"` // bytes, if known
	Sent  int64  `json:"sent,omitempty"`  // bytes, to a registry
}

// progressInterval is the time between lines of progress without a terminal.
const progressInterval = 10 * time.Second

// progress starts to show progress. A total of 0 bytes means that it is unknown.
func (s *speaker) progress(what string, total int64) *progress {
	return s.progressSending(what, total, new(atomic.Int64))
}

// progressSending also shows how many bytes were sent.
func (s *speaker) progressSending(what string, total int64, sent *atomic.Int64) *progress {
	s.close()
	p := &progress{speaker: s, what: what, total: total, sent: sent, stop: make(chan struct{}), stopped: make(chan struct{})}
	s.current = p
	tick := progressInterval
	if s.terminal && !s.quiet {
		bound := total
		if bound == 0 {
			bound = -1
		}
		options := []progressbar.Option{
			progressbar.OptionSetDescription(what),
			progressbar.OptionSetWriter(s.w),
			progressbar.OptionClearOnFinish(),
			// Otherwise a goroutine of the bar draws too, without the lock and after the end.
			progressbar.OptionSetSpinnerChangeInterval(0),
		}
		roomy := s.roomy()
		if roomy || total == 0 { // without a total there is no bar, and so there is room
			options = append(options, progressbar.OptionShowBytes(true), progressbar.OptionShowCount())
		}
		if !roomy { // a line that wraps cannot be cleared
			p.sent = new(atomic.Int64)
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
			p.report(p.bytes.Load())
		}
	}()
	return p
}

// report shows that n bytes are done.
func (p *progress) report(n int64) {
	s, sent := p.speaker, p.sent
	switch {
	case n == 0:
	case p.bar != nil:
		if p.total > 0 {
			n = min(n, p.total) // bytes count contents only, but the total also links and headers
		}
		s.mu.Lock()
		p.bar.Describe(p.what + sentText(sent))
		_ = p.bar.Set64(n)
		s.drawn = true
		s.mu.Unlock()
	case s.quiet:
	case s.json:
		s.object(map[string]progressMessage{"progress": {p.what, n, p.total, sent.Load()}})
	case p.total > 0:
		s.line("%s: %d of %d MB%s", []any{p.what, n / 1e6, p.total / 1e6, sentText(sent)})
	default:
		s.line("%s: %d MB%s", []any{p.what, n / 1e6, sentText(sent)})
	}
}

// roomy says whether the terminal is wide enough for all parts of a line; the bar itself shrinks.
func (s *speaker) roomy() bool {
	f, ok := s.w.(*os.File)
	if !ok {
		return true
	}
	width, _, err := term.GetSize(int(f.Fd()))
	return err != nil || width <= 0 || width >= 80
}

func sentText(sent *atomic.Int64) string {
	if n := sent.Load(); n > 0 {
		return fmt.Sprintf(", %d MB sent", n/1e6)
	}
	return ""
}

// add counts n more bytes. Several goroutines may call it.
func (p *progress) add(n int64) { p.bytes.Add(n) }

// done stops showing progress. It may be called again.
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
