package binarycache

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"time"
)

// maxRetryAfter limits the Retry-After that is honoured; a longer one fails at once.
const maxRetryAfter = time.Minute

// tries counts the attempts at one request.
type tries struct {
	server *server
	made   int
}

// again waits until it is time for another attempt.
// It returns an error if no further attempt should be made.
func (t *tries) again(ctx context.Context, err error) error {
	t.made++
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var status *statusError
	pause := t.server.backoff << (t.made - 1)
	if errors.As(err, &status) {
		pause = max(pause, status.after)
	}
	switch {
	case !retryable(err):
		return err
	case t.made >= t.server.attempts:
		return fmt.Errorf("%w (%d tries)", err, t.made)
	case status != nil && status.after > maxRetryAfter:
		return fmt.Errorf("%w, Retry-After %v", err, status.after)
	}
	if t.server.retrying != nil {
		t.server.retrying(fmt.Errorf("fetch from %q: %w", t.server.base, err), pause)
	}
	return t.server.wait(ctx, pause)
}

// retryable reports whether another attempt may succeed.
func retryable(err error) bool {
	var last *finalError
	var status *statusError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var network *net.OpError
	var proxy *proxyError
	var name *net.DNSError
	switch {
	case errors.As(err, &last), errors.Is(err, errors.ErrUnsupported):
		return false
	case errors.As(err, &certificate), errors.As(err, &record), errors.As(err, &network) && isAlert(network):
		return false
	case errors.Is(err, fs.ErrPermission): // a firewall or sandbox of this machine
		return false
	case errors.As(err, &status):
		return status.retryable()
	case errors.As(err, &proxy):
		return proxy.status.retryable()
	case errors.As(err, &name):
		return !name.IsNotFound
	}
	return true
}

// isAlert reports whether the server refuses TLS with an alert that another attempt would get, too.
// An alert arrives as "remote error" in package tls, not as a [tls.AlertError].
func isAlert(err *net.OpError) bool {
	const badRecordMAC, internalError = tls.AlertError(20), tls.AlertError(80)
	text := err.Err.Error()
	return err.Op == "remote error" && text != badRecordMAC.Error() && text != internalError.Error()
}

// finalError marks an error that every attempt would return.
type finalError struct{ error }

func final(err error) error { return &finalError{err} }

func (e *finalError) Unwrap() error { return e.error }

// refusal returns a LoginError if the cache itself answers that it wants a login, and otherwise the status.
func (h *server) refusal(u *url.URL, status *statusError) error {
	if status.status == http.StatusUnauthorized && h.sameOrigin(u) {
		return &LoginError{h.base.Hostname(), h.login != nil, status}
	}
	return status
}

// LoginError reports that a server wants a login, or refuses the one that it got.
type LoginError struct {
	Host string
	Sent bool // a login was sent
	err  error
}

func (e *LoginError) Error() string { return e.err.Error() }
func (e *LoginError) Unwrap() error { return e.err }

// proxyError is a response of a proxy that does not connect to a server.
// Its status does not say whether the server has a file.
type proxyError struct {
	proxy  string
	status *statusError
}

func (e *proxyError) Error() string { return fmt.Sprintf("proxy %q: %v", e.proxy, e.status) }

// statusError is a response other than the requested file.
type statusError struct {
	status int
	after  time.Duration // from Retry-After
}

func (e *statusError) Error() string {
	return fmt.Sprintf("status %d %s", e.status, http.StatusText(e.status))
}

// Unwrap returns fs.ErrNotExist if the file does not exist.
// A bucket that may not be listed answers 403 for files it does not have.
func (e *statusError) Unwrap() error {
	switch e.status {
	case http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return fs.ErrNotExist
	}
	return nil
}

// isMissing reports whether a server has answered 404.
func isMissing(err error) bool {
	var status *statusError
	return errors.As(err, &status) && status.status == http.StatusNotFound
}

func (e *statusError) retryable() bool {
	switch e.status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported, http.StatusNetworkAuthenticationRequired:
		return false
	}
	return e.status >= 500
}
