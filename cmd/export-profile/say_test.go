package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/rootfs/staging"
)

// openTerminal opens a terminal of a width, and a reader of its contents.
func openTerminal(t *testing.T, columns int) (shown, screen *os.File) {
	t.Helper()
	shown, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { shown.Close() })
	fd := int(shown.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(columns)})
	}
	if err != nil {
		t.Skip(err)
	}
	if screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { screen.Close() })
	return shown, screen
}

// TestProgressFits checks that no line of progress is wider than the terminal, since a wrapped line cannot be cleared.
func TestProgressFits(t *testing.T) {
	for _, columns := range []int{40, 59, 80} {
		for _, total := range []int64{0, 123456789012} {
			shown, screen := openTerminal(t, columns)
			s := &speaker{w: screen, terminal: true}
			var sent atomic.Int64
			sent.Store(99999e6)
			p := s.progressSending("verifying", total, &sent)
			for range 3 {
				p.add(12345678901)
				time.Sleep(110 * time.Millisecond)
			}
			p.done()
			screen.Close()
			b, _ := io.ReadAll(shown) // the last read fails after the writer closes
			widest := ""
			for _, line := range strings.FieldsFunc(string(b), func(r rune) bool { return r == '\r' || r == '\n' }) {
				line = strings.TrimPrefix(line, "\x1b[2K")
				if line = strings.TrimRight(line, " "); utf8.RuneCountInString(line) > utf8.RuneCountInString(widest) {
					widest = line
				}
			}
			if got := utf8.RuneCountInString(widest); got > columns || !strings.Contains(widest, "verifying") {
				t.Errorf("with %d columns and a total of %d, a line has %d: %q", columns, total, got, widest)
			}
		}
	}
}

// TestProgressAndNotes checks that a note gets its own line while a bar is drawn.
func TestProgressAndNotes(t *testing.T) {
	shown, screen := openTerminal(t, 80)
	s := &speaker{w: screen, terminal: true}
	p := s.progress("verifying", 1000)
	for range 3 {
		p.add(100)
		time.Sleep(110 * time.Millisecond)
	}
	s.notef("first")
	s.notef("second")
	p.done()
	s.notef("third")
	screen.Close()
	b, _ := io.ReadAll(shown)
	for _, want := range []string{"\r\x1b[Kexport-profile: note: first\r\nexport-profile: note: second\r\n", "note: third\r\n"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("shown is %q; want %q in it", b, want)
		}
	}
}

// TestClosing checks that what cannot be cleaned up is a note after a success, and part of the error after a failure.
func TestClosing(t *testing.T) {
	left := &staging.LeftError{Path: "/x/.layout.export-profile-1", Err: syscall.EIO}
	failed := errors.New("failed")
	for _, tt := range []struct {
		err, closed error
		said        string
	}{
		{nil, nil, ""},
		{nil, left, `export-profile: note: could not clean up: remove "/x/.layout.export-profile-1": input/output error; the next run with the same destination does` + "\n"},
		{nil, fmt.Errorf("close: %w", syscall.EIO), ""}, // of a file that was only read
		{failed, left, ""},
	} {
		var said strings.Builder
		err := tt.err
		(&speaker{w: &said}).closing(&err, closer(func() error { return tt.closed }))
		if said.String() != tt.said || (err == nil) != (tt.err == nil) || tt.err != nil && !(errors.Is(err, failed) && errors.Is(err, left)) {
			t.Errorf("closing after %v with %v: %v, and says %q; want %q", tt.err, tt.closed, err, said.String(), tt.said)
		}
	}
}
