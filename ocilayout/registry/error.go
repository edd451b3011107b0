package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// ErrDenied is wrapped by the error of a registry that wants a login, or a different one.
var ErrDenied = errors.New("access denied")

// Error reports a failed request to a registry.
// It matches fs.ErrNotExist with status 404, and ErrDenied with status 401 or 403.
type Error struct {
	Do     string // action, as in "push blob sha256:… to registry.example.com/team/hello"
	Status int    // HTTP status, or 0 without an answer
	Tries  int
	Err    error

	Registry, Repository string        // as in Reference
	Login                string        // file with the login that was tried, or "" if there was none
	Server               string        // program that answered, as it calls itself, or ""
	Push                 bool          // the request would have changed the repository
	Size                 int64         // bytes of the blob or manifest that was refused, or 0
	Types                []string      // media types of the blob or manifest that was refused, and of what the manifest refers to
	Wait                 time.Duration // how long the registry still wants us to wait
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
	if text := e.cause(); text != "" && text != http.StatusText(e.Status) {
		b.WriteString(": " + text)
	}
	if e.Wait > maxRequestedWait {
		fmt.Fprintf(&b, "; it asks for a wait of %v", e.Wait.Round(time.Second))
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Is maps HTTP statuses to errors that callers know.
func (e *Error) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return e.Status == http.StatusNotFound
	case ErrDenied:
		return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
	}
	return false
}

// cause returns the text of the error without URLs, which may contain secrets of the registry.
func (e *Error) cause() string {
	var refused *refusal
	if errors.As(e.Err, &refused) && refused.text != "" {
		return plainText(refused.text)
	}
	var answer *errcode.ErrorResponse
	if errors.As(e.Err, &answer) {
		return said(answer)
	}
	var request *url.Error
	if errors.As(e.Err, &request) {
		return request.Err.Error()
	}
	if errors.Is(e.Err, auth.ErrBasicCredentialNotFound) {
		return auth.ErrBasicCredentialNotFound.Error()
	}
	return withoutURL(e.Err.Error())
}

// describe adds to e what the answer says of the request.
func (e *Error) describe() {
	var r *refusal
	if errors.As(e.Err, &r) {
		e.Server, e.Push, e.Size, e.Types = r.server, r.push, r.size, r.types
	}
}

// transferError is an error while an answer was read.
type transferError struct{ error }

func (e *transferError) Unwrap() error { return e.error }

// status returns the HTTP status of an error answer, or 0.
func status(err error) int {
	var answer *errcode.ErrorResponse
	switch {
	case errors.As(err, &answer):
		return answer.StatusCode
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return http.StatusUnauthorized
	}
	return 0
}

// hasCode reports whether an error answer has one of the codes.
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
