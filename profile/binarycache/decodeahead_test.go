package binarycache

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
)

func TestDecodeAhead(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcde"), aheadBytes/10)
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		r    io.Reader
		want error
	}{
		"whole":          {bytes.NewReader(content), nil},
		"in halves":      {iotest.HalfReader(bytes.NewReader(content)), nil},
		"with its end":   {iotest.DataErrReader(bytes.NewReader(content)), nil},
		"with an error":  {io.MultiReader(bytes.NewReader(content), iotest.ErrReader(broken)), broken},
		"an error alone": {iotest.ErrReader(broken), broken},
	} {
		a := newDecodeAhead(test.r, func() {})
		got, err := io.ReadAll(iotest.HalfReader(a))
		if name != "an error alone" && !bytes.Equal(got, content) || err != test.want {
			t.Errorf("%s: %d bytes, %v; want %d, %v", name, len(got), err, len(content), test.want)
		}
		if _, again := a.Read(make([]byte, 1)); again != test.want && again != io.EOF {
			t.Errorf("%s: after the end: %v", name, again)
		}
		a.Close()
	}
}

// counted counts what is read from it, and blocks after limit bytes until stopped is closed.
type counted struct {
	n       atomic.Int64
	limit   int64
	stopped chan struct{}
}

func (e *counted) Read(p []byte) (int, error) {
	if e.n.Load() >= e.limit {
		<-e.stopped
		return 0, io.ErrClosedPipe
	}
	e.n.Add(int64(len(p)))
	return len(p), nil
}

// TestDecodeAheadBound checks that no more than aheadBytes are read ahead, and that Close waits for the goroutine.
func TestDecodeAheadBound(t *testing.T) {
	e := &counted{limit: 1 << 40, stopped: make(chan struct{})}
	a := newDecodeAhead(e, func() {})
	const taken = 300_000
	if _, err := io.ReadFull(a, make([]byte, taken)); err != nil {
		t.Fatal(err)
	}
	for last := int64(-1); last != e.n.Load(); time.Sleep(50 * time.Millisecond) {
		last = e.n.Load()
	}
	if n := e.n.Load(); n > taken+aheadBytes {
		t.Errorf("%d bytes read ahead of %d; want at most %d", n-taken, taken, aheadBytes)
	}
	a.Close()
	n := e.n.Load()
	time.Sleep(10 * time.Millisecond)
	if e.n.Load() != n {
		t.Error("it reads on after Close")
	}
}

// TestDecodeAheadStalled checks that Close stops a read that waits.
func TestDecodeAheadStalled(t *testing.T) {
	e := &counted{limit: 100, stopped: make(chan struct{})}
	a := newDecodeAhead(e, func() { close(e.stopped) })
	closed := make(chan struct{})
	go func() { a.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatal("Close waits for a read that does not end")
	}
}

// TestLargeNAR checks a NAR that is decompressed ahead: whole, damaged at its end, and left while the server sends nothing.
func TestLargeNAR(t *testing.T) {
	content := make([]byte, 3*minAhead)
	for i, x := 0, uint32(1); i < len(content); i++ { // what gzip cannot make much smaller
		x = x*1664525 + 1013904223
		content[i] = byte(x >> 24)
	}
	f := make(files)
	n := f.object(t, smallPath, "gzip", content)
	f[smallPath.Digest()+".narinfo"] = []byte(n.String())
	whole := f[n.URL]
	for _, location := range []string{f.dir(t), serve(t, f)} {
		if got, err := readFile(t.Context(), open(t, location, quickOptions()), smallPath); !bytes.Equal(got, content) || err != nil {
			t.Errorf("%s: %d bytes, %v; want %d, <nil>", location, len(got), err, len(content))
		}
	}
	f[n.URL] = append(bytes.Clone(whole), "more"...)
	for _, location := range []string{f.dir(t), serve(t, f)} {
		if got, err := readFile(t.Context(), open(t, location, quickOptions()), smallPath); err == nil {
			t.Errorf("%s: %d bytes, <nil>, though more bytes follow the NAR; want an error", location, len(got))
		}
	}
	f[n.URL] = whole
	stalls := func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(whole[:len(whole)/8])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	s := open(t, serve(t, &faulty{Handler: f, name: n.URL, times: 1 << 20, then: stalls}), Options{Stall: 30 * time.Second, Attempts: 1})
	begin := time.Now()
	for e, err := range s.Files(t.Context(), smallPath) {
		if err != nil {
			t.Fatal(err)
		}
		if !e.IsRegular() {
			continue
		}
		r, err := e.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		break
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("a walk that stopped early took %v", took)
	}
}
