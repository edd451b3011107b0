package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

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
