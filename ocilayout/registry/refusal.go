package registry

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// refusal is an answer with an error status.
type refusal struct {
	*errcode.ErrorResponse
	text   string   // what the answer says in plain text
	server string   // the Server header
	push   bool     // the request would have changed the repository
	upload bool     // the request sent a blob
	size   int64    // bytes of the blob or manifest that was refused
	types  []string // media types of the manifest or blob that was refused, and of what the manifest refers to
}

func (r *refusal) Unwrap() error { return r.ErrorResponse }

// maxRefusal limits how much of an error answer is read.
const maxRefusal = 8 << 10

// newRefusal reads an answer with an error status.
func newRefusal(request *http.Request, answer *http.Response) *refusal {
	r := &refusal{
		ErrorResponse: &errcode.ErrorResponse{Method: request.Method, URL: answer.Request.URL, StatusCode: answer.StatusCode},
		server:        plainText(answer.Header.Get("Server")),
		push:          request.Method != http.MethodGet && request.Method != http.MethodHead,
	}
	b, _ := io.ReadAll(io.LimitReader(answer.Body, maxRefusal))
	var body struct {
		Errors errcode.Errors `json:"errors"`
	}
	if json.Unmarshal(b, &body) == nil {
		r.Errors = body.Errors
	} else if t, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type")); t == "text/plain" {
		r.text, _, _ = strings.Cut(strings.TrimSpace(string(b)), "\n")
	}
	return r
}

// maxText limits what is quoted of an answer.
const maxText = 300

// plainText makes the text of an answer fit for a terminal: one short line without control characters.
func plainText(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' || r == ' ' || r == '\t' }), " ")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	n := 0
	for at := range s {
		if n++; n > maxText {
			return s[:at] + "…"
		}
	}
	return s
}

// said returns what the answer of a registry says, as far as it is for people.
func said(answer *errcode.ErrorResponse) string {
	var all []string
	for _, e := range answer.Errors {
		if _, ok := e.Detail.(string); !ok {
			e.Detail = nil // an object repeats the name or the tag
		}
		code := strings.ToLower(strings.ReplaceAll(e.Code, "_", " "))
		switch {
		case e.Code == "" || strings.EqualFold(e.Message, code):
			all = append(all, e.Message)
		default:
			all = append(all, e.Error())
		}
	}
	return plainText(strings.Join(all, "; "))
}

// withoutURL drops the method and the URL in front of an error of a login, since URLs may contain secrets of the registry.
func withoutURL(text string) string {
	for {
		method, rest, _ := strings.Cut(text, " ")
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil || method != strings.ToUpper(method) {
			return text
		}
		after, ok := strings.CutPrefix(rest[len(quoted):], ": ")
		if !ok {
			return text
		}
		text = after
	}
}

// refused adds to a refusal what was refused.
func refused(err error, size int64, types ...string) error {
	var r *refusal
	if errors.As(err, &r) {
		r.size, r.types = size, types
	}
	return err
}

// sentBlob adds to a refusal that it is about a blob that was sent.
func sentBlob(err error, d ispec.Descriptor) error {
	var r *refusal
	if errors.As(err, &r) {
		r.upload = true
	}
	return refused(err, d.Size, d.MediaType)
}
