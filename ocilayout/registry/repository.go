package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	oras "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// repository sends requests about one repository, and logs in as its registry asks.
type repository struct {
	client *Client
	at     Reference // without tag and digest
	scope  oras.Reference
	plain  bool // plain HTTP
	auth   *auth.Client
	count  *traffic // of all requests, or nil

	mu      sync.Mutex
	login   string          // file that the login came from
	greeted map[string]bool // by scopes, whether a login was asked for and given at /v2/
}

// repository makes a client for a repository. It probes whether the registry speaks plain HTTP, if that is allowed.
func (c *Client) repository(ctx context.Context, at Reference) (*repository, error) {
	plain, err := c.isPlain(ctx, at)
	if err != nil {
		return nil, err
	}
	r := &repository{client: c, at: Reference{Registry: at.Registry, Repository: at.Repository}, plain: plain,
		scope: oras.Reference{Registry: at.Registry, Repository: at.Repository}, greeted: make(map[string]bool)}
	if err := errors.Join(r.scope.ValidateRegistry(), r.scope.ValidateRepository()); err != nil {
		return nil, fmt.Errorf("repository %q: %w", at.Name(), err)
	}
	r.auth = &auth.Client{
		Client:     c.http,
		Header:     http.Header{"User-Agent": {"export-profile"}},
		Cache:      auth.NewCache(),
		Credential: r.credential,
	}
	return r, nil
}

// url returns the address of something in the repository.
func (r *repository) url(elems ...string) string {
	return fmt.Sprintf("%s/v2/%s/%s", r.root(), r.at.Repository, strings.Join(elems, "/"))
}

func (r *repository) root() string {
	if r.plain {
		return "http://" + r.at.host()
	}
	return "https://" + r.at.host()
}

// try calls do and retries temporary failures. Its errors name the registry.
// If ctx is done, the error is the cause, which may be another request's error, at another registry, and stays as it is.
func (r *repository) try(ctx context.Context, what string, do func(context.Context) error) error {
	err := r.client.try(ctx, what, do)
	if failed, ok := err.(*Error); ok && err != context.Cause(ctx) {
		failed.Registry, failed.Repository, failed.Login = r.at.Registry, r.at.Repository, r.loginFile()
	}
	return err
}

// send sends a request without a body.
func (r *repository) send(ctx context.Context, method, url string, header http.Header) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	if header != nil {
		request.Header = header
	}
	return r.do(request)
}

// do sends a request. An answer whose status is not 2xx is an error, and an answer of success has a body to close.
func (r *repository) do(request *http.Request) (*http.Response, error) {
	request = request.WithContext(metered(context.WithValue(request.Context(), originKey{}, r.at.host()), r.count))
	answer, err := r.auth.Do(request)
	if err == nil && r.hides(answer) && request.Body == nil && r.greet(request.Context()) {
		answer.Body.Close()
		answer, err = r.auth.Do(request)
	}
	if err != nil {
		return nil, err
	}
	if answer.StatusCode/100 == 2 {
		return answer, nil
	}
	defer answer.Body.Close()
	return nil, newRefusal(request, answer)
}

// hides reports whether an answer may hide what exists because the request had no login.
func (r *repository) hides(answer *http.Response) bool {
	switch answer.StatusCode {
	case http.StatusForbidden, http.StatusNotFound:
		return answer.Request.Header.Get("Authorization") == "" && answer.Request.URL.Host == r.at.host()
	}
	return false
}

// greet logs in at /v2/, since some registries answer 403 or 404 instead of asking for a login elsewhere.
// It reports whether the registry asked for a login there and got one.
func (r *repository) greet(ctx context.Context) bool {
	scopes := strings.Join(auth.GetAllScopesForHost(ctx, r.at.host()), " ")
	r.mu.Lock()
	defer r.mu.Unlock()
	if did, ok := r.greeted[scopes]; ok {
		return did
	}
	if found, _, err := r.client.findLogin(ctx, r.at); err != nil || found == auth.EmptyCredential {
		if ctx.Err() == nil {
			r.greeted[scopes] = false
		}
		return false
	}
	r.mu.Unlock()
	did := false
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.root()+"/v2/", nil)
	if err == nil {
		if answer, err := r.auth.Do(request); err == nil {
			did = answer.Request.Header.Get("Authorization") != ""
			drain(answer)
		}
	}
	r.mu.Lock()
	if ctx.Err() == nil {
		r.greeted[scopes] = did
	}
	return did
}

// credential finds the login for the repository when its registry asks for one. No other host gets it.
func (r *repository) credential(ctx context.Context, host string) (auth.Credential, error) {
	if host != r.at.host() {
		return auth.EmptyCredential, nil
	}
	found, file, err := r.client.findLogin(ctx, r.at)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.login = file
	return found, err
}

func (r *repository) loginFile() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.login
}

// has asks whether the repository has a blob or a manifest. It returns an error if the answer does not say.
func (r *repository) has(ctx context.Context, kind string, d ispec.Descriptor) (bool, error) {
	header := http.Header{}
	if kind == manifests {
		header.Set("Accept", d.MediaType)
	}
	answer, err := r.send(auth.AppendRepositoryScope(ctx, r.scope, auth.ActionPull), http.MethodHead, r.url(kind, d.Digest.String()), header)
	switch {
	case status(err) == http.StatusNotFound:
		return false, nil
	case err != nil:
		return false, err
	}
	answer.Body.Close()
	if named := namedDigest(answer); named != "" && named != d.Digest {
		return false, nil
	}
	return answer.ContentLength <= 0 || answer.ContentLength == d.Size, nil // some registries send no length or 0
}

// The kinds of things in a repository, as in URLs.
const (
	blobs     = "blobs"
	manifests = "manifests"
)

// namedDigest returns the digest that an answer names, or "". Digests of other algorithms do not count: they name the same thing.
func namedDigest(answer *http.Response) digest.Digest {
	d := digest.Digest(answer.Header.Get("Docker-Content-Digest"))
	if d.Validate() != nil || d.Algorithm() != digest.SHA256 {
		return ""
	}
	return d
}

// drain reads the rest of a short answer, so that the connection can be reused.
func drain(answer *http.Response) {
	_, _ = io.CopyN(io.Discard, answer.Body, 4<<10)
	answer.Body.Close()
}

// sameHost reports whether two URLs lead to the same host and port.
func sameHost(a, b *url.URL) bool {
	return strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}
