package binarycache

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"time"
)

// maxPatience is how long a server may want to be left alone before it is given up.
const maxPatience = time.Minute

// tries counts the attempts at one thing.
type tries struct {
	server *server
	made   int
}

// again waits until it is time for another attempt after one that failed,
// or is the error that there is to be none.
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
	case !passes(err):
		return err
	case t.made >= t.server.attempts:
		return fmt.Errorf("%w (%d attempts)", err, t.made)
	case status != nil && status.after > maxPatience:
		return fmt.Errorf("%w, and not before %v", err, status.after)
	}
	if t.server.retrying != nil {
		t.server.retrying(fmt.Errorf("fetch from %q: %w", t.server.base, err), pause)
	}
	return t.server.wait(ctx, pause)
}

// passes says whether another attempt may not end with the same error.
func passes(err error) bool {
	var last *finalError
	var status *statusError
	var certificate *tls.CertificateVerificationError
	var name *net.DNSError
	switch {
	case errors.As(err, &last), errors.As(err, &certificate), errors.Is(err, errors.ErrUnsupported):
		return false
	case errors.As(err, &status):
		return status.passes()
	case errors.As(err, &name):
		return !name.IsNotFound
	}
	return true
}

// finalError is one that comes again with each attempt.
type finalError struct{ error }

func final(err error) error { return &finalError{err} }

func (e *finalError) Unwrap() error { return e.error }

// statusError is an answer other than the file that was asked for.
type statusError struct {
	status int
	after  time.Duration // when to ask again
}

func (e *statusError) Error() string {
	return fmt.Sprintf("status %d %s", e.status, http.StatusText(e.status))
}

// Unwrap is fs.ErrNotExist where there is no such file.
// A bucket whose files may not be listed says 403 for those that it has not.
func (e *statusError) Unwrap() error {
	switch e.status {
	case http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return fs.ErrNotExist
	}
	return nil
}

func (e *statusError) passes() bool {
	switch e.status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported, http.StatusNetworkAuthenticationRequired:
		return false
	}
	return e.status >= 500
}
