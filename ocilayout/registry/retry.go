package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"oras.land/oras-go/v2/registry/remote/errcode"
)

const (
	tries            = 7
	localTries       = 3                      // if this machine refuses the connection: a registry may just be starting
	firstWait        = 500 * time.Millisecond // before the first retry; it doubles with each further one
	maxWait          = 10 * time.Second       // limit of our own waits
	maxRequestedWait = 5 * time.Minute        // if a registry requests a longer wait, its error ends the run
)

// try calls do, and retries temporary failures. what names the action in errors.
func (c *Client) try(ctx context.Context, what string, do func(context.Context) error) error {
	wait := c.wait
	for n := 1; ; n++ {
		err := do(ctx)
		if err == nil {
			return nil
		}
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		failed := &Error{Do: what, Status: status(err), Tries: n, Err: err, Wait: max(0, c.requestedWait(err))}
		failed.describe()
		if n == tries || n >= localTries && refusedLocally(err) || !isTemporary(err) || failed.Wait > maxRequestedWait {
			return failed
		}
		d := wait/2 + rand.N(wait/2+1) // spread retries of concurrent requests
		if c.options.Retrying != nil {
			c.options.Retrying(failed, max(d, failed.Wait))
		}
		pause := time.NewTimer(d)
		select {
		case <-ctx.Done():
			pause.Stop()
			return context.Cause(ctx)
		case <-pause.C:
		}
		wait = min(2*wait, maxWait)
	}
}

// requestedWait returns how long the registry that has answered still wants us to wait.
func (c *Client) requestedWait(err error) time.Duration {
	var answer *errcode.ErrorResponse
	if !errors.As(err, &answer) {
		return 0
	}
	return c.patience.left(answer.URL.Host)
}

// refusedLocally reports whether this machine itself refused the connection.
func refusedLocally(err error) bool {
	var dial *net.OpError
	if !errors.As(err, &dial) || !errors.Is(err, syscall.ECONNREFUSED) {
		return false
	}
	to, ok := dial.Addr.(*net.TCPAddr)
	return ok && to.IP.IsLoopback()
}

// isTemporary reports whether a retry may succeed.
func isTemporary(err error) bool {
	var answer *errcode.ErrorResponse
	if errors.As(err, &answer) {
		var r *refusal
		errors.As(err, &r)
		switch s := answer.StatusCode; {
		case s == http.StatusRequestTimeout, s == http.StatusTooManyRequests:
			return true
		case s >= 500:
			return s != http.StatusNotImplemented && s != http.StatusHTTPVersionNotSupported
		case s == http.StatusUnauthorized, s == http.StatusNotFound:
			// The token expired during the upload, or a replica of the registry does not know of it.
			if r != nil && r.upload {
				return true
			}
		}
		return hasCode(err, errcode.ErrorCodeBlobUploadUnknown, errcode.ErrorCodeBlobUploadInvalid, // the registry has restarted
			codeTooManyRequests)
	}
	var (
		broken      *transferError
		request     *url.Error
		certificate *tls.CertificateVerificationError
		name        *net.DNSError
		file        *fs.PathError
	)
	switch {
	case errors.Is(err, errStandstill), errors.As(err, &broken):
		return true
	case !errors.As(err, &request), errors.As(err, &certificate), errors.Is(err, http.ErrSchemeMismatch),
		errors.Is(err, errPlainRedirect), errors.Is(err, errForbiddenAddress):
		return false
	case errors.As(err, &name):
		return !name.IsNotFound
	case errors.As(err, &file): // a local file
		return false
	}
	return true
}

// codeTooManyRequests is a code that some registries send with other statuses than 429.
const codeTooManyRequests = "TOOMANYREQUESTS"

// patience is a transport that obeys Retry-After in answers with status 429 and 503:
// no request goes to the registry until the requested time.
type patience struct {
	next http.RoundTripper

	mu     sync.Mutex
	before map[string]time.Time // earliest time of the next request, by host
}

func (p *patience) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := p.wait(r.Context(), r.URL.Host); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	answer, err := p.next.RoundTrip(r)
	if err == nil && (answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusServiceUnavailable) {
		p.heed(r.URL.Host, answer.Header)
	}
	return answer, err
}

// heed records a Retry-After header: seconds, or a date by the clock of the registry.
func (p *patience) heed(host string, h http.Header) {
	var wait time.Duration
	after := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseUint(after, 10, 31); err == nil {
		wait = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(after); err == nil {
		now, err := http.ParseTime(h.Get("Date"))
		if err != nil {
			now = time.Now()
		}
		wait = at.Sub(now)
	}
	until := time.Now().Add(wait)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.before == nil {
		p.before = make(map[string]time.Time)
	}
	if until.After(p.before[host]) {
		p.before[host] = until
	}
}

// left returns how long requests to a host still have to wait.
func (p *patience) left(host string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Until(p.before[host])
}

func (p *patience) wait(ctx context.Context, host string) error {
	for {
		wait := p.left(host)
		if wait <= 0 || wait > maxRequestedWait { // a longer wait has ended what asked for it
			return nil
		}
		pause := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			pause.Stop()
			return context.Cause(ctx)
		case <-pause.C:
		}
	}
}
