package binarycache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// maxRedirects limits the redirects of one request.
const maxRedirects = 10

// maxDrain limits how much of an unwanted body is read so that its connection can be reused.
const maxDrain = 64 << 10

// answer is the response to one request. Reading it fails if the server stalls.
type answer struct {
	status int
	header http.Header
	length int64 // of the body, or -1

	chunked bool // the body marks its own end

	body  io.ReadCloser
	watch *watch
}

// watch cancels an attempt if the server sends nothing for too long.
// The clock runs only while a caller waits for the server.
type watch struct {
	ctx    context.Context // cancelled on a stall
	cancel context.CancelCauseFunc
	timer  *time.Timer
	stall  time.Duration
}

func newWatch(ctx context.Context, stall time.Duration) *watch {
	w := &watch{stall: stall}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	stalled := fmt.Errorf("the server sent nothing for %v", stall)
	w.timer = time.AfterFunc(stall, func() { w.cancel(stalled) })
	return w
}

func (w *watch) begin() { w.timer.Reset(w.stall) }
func (w *watch) pause() { w.timer.Stop() }

func (w *watch) end() {
	w.timer.Stop()
	w.cancel(nil)
}

// cause returns the reason why the attempt was cancelled, or err if it was not.
func (w *watch) cause(err error) error {
	if cause := context.Cause(w.ctx); cause != nil {
		return cause
	}
	return err
}

func (a *answer) Read(p []byte) (int, error) {
	a.watch.begin()
	n, err := a.body.Read(p)
	a.watch.pause()
	if err != nil && err != io.EOF {
		err = a.watch.cause(err)
	}
	return n, err
}

func (a *answer) Close() error {
	err := a.body.Close()
	a.watch.end()
	return err
}

// get sends one request and follows redirects.
// A status other than 200 and 206 is a statusError.
func (h *server) get(ctx context.Context, u *url.URL, header http.Header) (*answer, error) {
	w := newWatch(ctx, h.stall)
	a, err := h.getWatched(w, u, header)
	if err != nil {
		err = w.cause(err)
		w.end()
		return nil, err
	}
	w.pause()
	return a, nil
}

func (h *server) getWatched(w *watch, u *url.URL, header http.Header) (*answer, error) {
	for redirects := 0; ; redirects++ {
		w.begin()
		r, err := h.ask(w.ctx, u, header)
		if err != nil {
			return nil, err
		}
		switch r.StatusCode {
		case http.StatusOK, http.StatusPartialContent:
			return &answer{r.StatusCode, r.Header, r.ContentLength, slices.Contains(r.TransferEncoding, "chunked"), r.Body, w}, nil
		}
		_, _ = io.CopyN(io.Discard, r.Body, maxDrain)
		_ = r.Body.Close()
		switch r.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
			http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return nil, h.refusal(u, &statusError{r.StatusCode, retryAfter(r.Header)})
		}
		if redirects == maxRedirects {
			return nil, final(fmt.Errorf("more than %d redirects", maxRedirects))
		}
		to, err := r.Location()
		if err != nil {
			return nil, final(errors.New("redirect: invalid Location"))
		}
		if err := follow(u, to); err != nil {
			return nil, final(fmt.Errorf("redirect: %w", err))
		}
		to.User = nil
		u = to
	}
}

// ask sends one request. The login goes only to the cache's own origin, even after redirects.
func (h *server) ask(ctx context.Context, u *url.URL, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, final(errors.New("invalid URL"))
	}
	req.Header = header.Clone()
	req.Header.Set("User-Agent", "export-profile")
	if h.login != nil && h.sameOrigin(u) {
		req.SetBasicAuth(h.login.user, h.login.password)
	}
	return h.transport.RoundTrip(req)
}

// retryAfter parses Retry-After: seconds or a date.
func retryAfter(header http.Header) time.Duration {
	s := header.Get("Retry-After")
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
