package registry

import (
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/verify"
)

// quirk is one way in which a registry differs from the specification, or from most others.
type quirk struct {
	name string
	set  func(f *fakeRegistry)

	// The error of each step, as a pattern; "" is success. An image that cannot be pushed is pushed
	// without the quirk, so that the other steps have something to read.
	push, attach, update, verify string

	login string                                 // NAME:PASSWORD in the auth file, or ""
	check func(t *testing.T, f *fakeRegistry)    // checks after the first push
	still func(f *fakeRegistry) (problem string) // checks after the last step
}

// fault answers some requests, and reports whether it did.
type fault func(w http.ResponseWriter, r *http.Request) bool

// matching limits an answer to requests whose "METHOD PATH" matches a pattern.
func matching(pattern string, answer http.HandlerFunc) fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !matches(r.Method+" "+r.URL.Path, pattern) {
			return false
		}
		answer(w, r)
		return true
	}
}

// either tries faults in turn.
func either(all ...fault) fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		return slices.ContainsFunc(all, func(f fault) bool { return f(w, r) })
	}
}

// refusing answers matching requests with an error status.
func refusing(pattern string, status int, code string) func(*fakeRegistry) {
	return func(f *fakeRegistry) {
		f.fault = matching(pattern, func(w http.ResponseWriter, _ *http.Request) { refuse(w, status, code) })
	}
}

// altering changes the fake's own answers to matching requests. A changed Content-Length of "" sends none.
func altering(pattern string, change func(r *http.Request, answer *httptest.ResponseRecorder)) func(*fakeRegistry) {
	return func(f *fakeRegistry) { f.fault = f.altered(pattern, change) }
}

func (f *fakeRegistry) altered(pattern string, change func(r *http.Request, answer *httptest.ResponseRecorder)) fault {
	return matching(pattern, func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		f.serve(answer, r)
		change(r, answer)
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		if r.Method == http.MethodHead {
			return
		}
		if w.Header().Get("Content-Length") == "" {
			_ = http.NewResponseController(w).Flush() // now the server cannot tell the length
		}
		_, _ = io.Copy(w, answer.Body)
	})
}

// header sets a header of matching answers, or drops it if value is "".
func header(pattern, name, value string) func(*fakeRegistry) {
	return altering(pattern, func(_ *http.Request, answer *httptest.ResponseRecorder) {
		answer.Header().Set(name, value)
		if value == "" {
			answer.Header().Del(name)
		}
	})
}

// raw answers matching requests with a header that package http would not write.
func raw(pattern, header string) func(*fakeRegistry) {
	return func(f *fakeRegistry) {
		f.fault = matching(pattern, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: "+ispec.MediaTypeImageManifest+"\r\n"+header+"\r\n\r\n{}")
		})
	}
}

// succeeding changes the status of matching answers that succeed.
func succeeding(pattern string, status int) func(*fakeRegistry) {
	return altering(pattern, func(_ *http.Request, answer *httptest.ResponseRecorder) {
		if answer.Code/100 == 2 {
			answer.Code = status
		}
	})
}

// location changes the Location of new uploads.
func location(change func(string) string) func(*fakeRegistry) {
	return altering("POST *", func(_ *http.Request, answer *httptest.ResponseRecorder) {
		answer.Header().Set("Location", change(answer.Header().Get("Location")))
	})
}

// zeros is a digest that no blob has.
const zeros = digest.Digest("sha256:0000000000000000000000000000000000000000000000000000000000000000")

// checkQuirks pushes, attaches, updates and verifies with each quirk.
func checkQuirks(t *testing.T, quirks []quirk) {
	for _, q := range quirks {
		t.Run(q.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.Config.ErrorLog = log.New(io.Discard, "", 0)
			var o Options
			if q.login != "" {
				o = withLogin(t, f, password(q.login))
			}
			c := client(t, o)
			a, b := part("a", 1, 1<<16), part("b", 2, 1<<10)
			first := image(t, nil, "gzip", a, b)
			q.set(f)
			without := func(do func()) {
				f.mu.Lock()
				fault, bearer, login := f.fault, f.bearer, f.login
				f.fault, f.bearer, f.login = nil, nil, ""
				f.mu.Unlock()
				do()
				f.mu.Lock()
				f.fault, f.bearer, f.login = fault, bearer, login
				f.mu.Unlock()
			}

			d, _, err := push(t.Context(), t, c, f.at("team/hello:v1"), nil, first)
			wantError(t, "push", err, q.push)
			if got := f.tag("team/hello", "v1"); (got != "") != (q.push == "") || q.push == "" && got != layoutDigest(t, first) {
				t.Errorf("after the push, the tag leads to %q; want the image %s: %v", got, d, q.push == "")
			}
			if q.check != nil {
				q.check(t, f)
			}
			without(func() { d, _ = mustPush(t, client(t, Options{}), f.at("team/hello:v1"), nil, first) })

			if q.push == "" {
				_, _, err = push(t.Context(), t, c, f.at("team/hello:again"), nil, first)
				wantError(t, "push again", err, "")
			}

			p, err := c.Push(t.Context(), f.at("team/hello"), nil)
			if err == nil {
				subject := ispec.Descriptor{MediaType: ispec.MediaTypeImageManifest, Digest: d, Size: int64(len(f.manifest("team/hello", "v1")))}
				_, err = p.Attach(t.Context(), subject, Attachment{MediaType: "application/spdx+json", Content: []byte("{}\n")})
			}
			wantError(t, "attach", err, q.attach)

			next, err := q.updated(t.Context(), t, c, f)
			wantError(t, "update", err, q.update)
			if got := f.tag("team/hello", "v2"); (got != "") != (q.update == "") || got != next {
				t.Errorf("after the update, the tag leads to %q; want %q", got, next)
			}

			err = verified(t.Context(), c, f.at("team/hello:v1"))
			wantError(t, "verify", err, q.verify)
			if q.still != nil {
				if problem := q.still(f); problem != "" {
					t.Error(problem)
				}
			}
		})
	}
}

// updated pushes an image over the previous one, whose first layer it keeps. The digest is "" after an error.
func (q quirk) updated(ctx context.Context, t *testing.T, c *Client, f *fakeRegistry) (digest.Digest, error) {
	previous, err := previousIn(t, c, f.at("team/hello:v1"))
	if err != nil {
		return "", err
	}
	next := image(t, previous, "gzip", unread(part("a", 1, 1<<16)), part("b", 3, 1<<10))
	d, _, err := push(ctx, t, c, f.at("team/hello:v2"), nil, next)
	if err != nil {
		d = ""
	}
	return d, err
}

// verified verifies an image as the command does, but for the hashes of the invented store objects.
func verified(ctx context.Context, c *Client, r Reference) error {
	source, err := c.Find(ctx, r)
	if err != nil {
		return err
	}
	claims, err := verify.ReadImage(ctx, source)
	if err != nil {
		return err
	}
	report, err := claims.Check(ctx, verify.Options{})
	if err == nil && report.Count > 0 {
		err = fmt.Errorf("%d problems: %v", report.Count, report.Problems)
	}
	return err
}

func wantError(t *testing.T, step string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v; want success", step, err)
	case want != "" && (err == nil || !matches(err.Error(), "*"+want+"*")):
		t.Errorf("%s: %v; want %q", step, err, want)
	}
	if err != nil && strings.Contains(err.Error(), "secret") {
		t.Errorf("%s: %v contains the secret", step, err)
	}
}

// manifest returns the bytes that a tag leads to.
func (f *fakeRegistry) manifest(repository, tag string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.manifests[repository][tag]
}

// sentTwice reports whether blobs were sent that an earlier step had sent.
func sentTwice(f *fakeRegistry) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := countPrefix(f.requests, "PUT /v2/team/hello/blobs/"); n > len(f.blobs["team/hello"]) {
		return fmt.Sprintf("%d uploads for %d blobs", n, len(f.blobs["team/hello"]))
	}
	return ""
}

func countPrefix(all []string, prefix string) (n int) {
	for _, s := range all {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}
