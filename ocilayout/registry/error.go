package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// ErrDenied is in the error of a registry that wants a login, or another one.
var ErrDenied = errors.New("access denied")

// Error is what a registry could not be brought to do.
// It is fs.ErrNotExist if there is no such thing, and ErrDenied without the permission.
type Error struct {
	Do     string // push blob sha256:… to registry.example.com/team/hello
	Status int    // of the answer, or 0 if there was none
	Tries  int
	Err    error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Do)
	if e.Tries > 1 {
		fmt.Fprintf(&b, " (%d tries)", e.Tries)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, ": status %d %s", e.Status, http.StatusText(e.Status))
	}
	if text := e.cause().Error(); text != "" && text != http.StatusText(e.Status) {
		b.WriteString(": " + text)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Is makes errors of answers those that callers know.
func (e *Error) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return e.Status == http.StatusNotFound
	case ErrDenied:
		return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
	}
	return false
}

// cause is the error without addresses, which may carry what is only the registry's business.
func (e *Error) cause() error {
	var answer *errcode.ErrorResponse
	if errors.As(e.Err, &answer) {
		if len(answer.Errors) == 0 {
			return errors.New("")
		}
		return answer.Errors
	}
	var request *url.Error
	if errors.As(e.Err, &request) {
		return request.Err
	}
	if errors.Is(e.Err, auth.ErrBasicCredentialNotFound) {
		return auth.ErrBasicCredentialNotFound
	}
	return e.Err
}

// transferError is an answer that broke off.
type transferError struct{ error }

func (e *transferError) Unwrap() error { return e.error }

// status is that of an answer that is an error, or 0.
func status(err error) int {
	var answer *errcode.ErrorResponse
	switch {
	case errors.As(err, &answer):
		return answer.StatusCode
	case errors.Is(err, errdef.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return http.StatusUnauthorized
	}
	return 0
}

// hasCode says whether a registry has named one of these reasons.
func hasCode(err error, codes ...string) bool {
	var answer *errcode.ErrorResponse
	if !errors.As(err, &answer) {
		return false
	}
	for _, e := range answer.Errors {
		for _, code := range codes {
			if e.Code == code {
				return true
			}
		}
	}
	return false
}
