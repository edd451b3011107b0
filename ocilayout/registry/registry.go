// Package registry pushes images to registries and reads images from them.
// It follows the OCI distribution specification.
//
// # Pushing
//
// A [Push] takes blobs while an image is being built (see ocilayout.Options.Deliver), and the manifest last.
// Only the manifest moves the tag: if the program is killed before, the tag still leads to the old image.
// Nothing is compressed or changed on the way, so the registry has the digest of the given manifest.
//
// A blob that the repository has is not sent. If another repository of the registry may have it, the registry is asked
// to mount it from there. For a layer that is kept from an image in the same repository, the registry is not even asked,
// since registries keep the blobs of their manifests. If it has lost one, it refuses the manifest.
// Then Push asks for all kept layers and sends the missing ones.
//
// [Push.Attach] attaches documents to an image, even before its manifest is pushed.
//
// # Sharing layers
//
// A [SharedCache] is a repository in which machines find layers that others have built and signed,
// and facts about store objects. Package ocilayout takes layers from it and builds the rest.
//
// # Failures
//
// Temporary failures are retried, with a longer wait each time: statuses 408, 429 and 5xx except 501 and 505,
// expired tokens and forgotten uploads, and connections that break or stall.
// A refused connection to this machine is retried less often. A blob is sent again from its beginning.
// If a registry asks for a wait (Retry-After), all requests to it wait.
// Errors name the registry, repository and blob, and the status of the answer; see [Error].
//
// # Safety
//
// Plain HTTP is used only if TLS need not be verified or the registry is on this machine, and only after HTTPS has failed.
// Unless TLS need not be verified, redirects from HTTPS to plain HTTP are refused.
// Logins are read when a registry asks for one, from the files in [Options].AuthFiles.
// Manifests, configs and facts are checked against their digests and sizes, and the size of what is read is limited.
package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// Options configure a Client. The zero value is usable.
type Options struct {
	// AuthFiles are files with logins, or with the names of credential helpers,
	// in the format of docker's config.json and podman's auth.json.
	// The first file that knows a registry wins. Missing files are skipped.
	AuthFiles []string
	// Insecure accepts any certificate, and plain HTTP.
	Insecure bool
	// CA has certificates in PEM that are trusted in addition to the system's.
	CA []byte
	// Proxy chooses a proxy for a request, as in http.Transport. If it is nil, no proxy is used.
	Proxy func(*http.Request) (*url.URL, error)
	// Sent, if not nil, is called with the bytes of blobs sent since the last call, from several goroutines.
	// Before bytes are sent again, it is called with their number, negated.
	Sent func(bytes int64)
	// Retrying, if not nil, is called before each retry with the error and the wait, from several goroutines.
	Retrying func(err error, wait time.Duration)
	// Explain, if not nil, receives messages for people about everything else that did not go as planned,
	// for example a refused mount, from several goroutines.
	Explain func(format string, args ...any)
}

// Client talks to registries.
type Client struct {
	options Options
	http    *http.Client

	mu    sync.Mutex
	plain map[string]bool // by host, whether a probed registry speaks plain HTTP

	wait time.Duration // before the first retry
}

// New makes a client. It connects to nothing yet.
func New(o Options) (*Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = o.Proxy
	t.MaxIdleConnsPerHost = parallel + 2
	t.ResponseHeaderTimeout = 5 * time.Minute // a registry may copy a large blob before it answers
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: o.Insecure}
	if len(o.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(o.CA) {
			return nil, errors.New("the registry's CA contains no PEM certificate")
		}
		t.TLSClientConfig.RootCAs = pool
	}
	h := &http.Client{Transport: &patience{next: t}, CheckRedirect: o.checkRedirect}
	return &Client{options: o, http: h, plain: make(map[string]bool), wait: firstWait}, nil
}

// maxRedirects is the limit of net/http itself.
const maxRedirects = 10

var errPlainRedirect = errors.New("redirects from HTTPS to plain HTTP")

// checkRedirect refuses redirects from HTTPS to plain HTTP unless Insecure is set: the target could not be verified.
func (o Options) checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	if last := via[len(via)-1]; !o.Insecure && last.URL.Scheme == "https" && r.URL.Scheme != "https" {
		return fmt.Errorf("%s %w at %q", last.URL.Host, errPlainRedirect, r.URL.Host)
	}
	return nil
}

// repository makes a client for a repository. It probes whether the registry speaks plain HTTP, if that is allowed.
func (c *Client) repository(ctx context.Context, r Reference) (*remote.Repository, error) {
	plain, err := c.isPlain(ctx, r)
	if err != nil {
		return nil, err
	}
	repo, err := remote.NewRepository(r.Name())
	if err != nil {
		return nil, fmt.Errorf("repository %q: %w", r.Name(), err)
	}
	repo.PlainHTTP = plain
	repo.Client = &auth.Client{
		Client:     c.http,
		Header:     http.Header{"User-Agent": {"export-profile"}},
		Cache:      auth.NewCache(),
		Credential: c.credential(r),
	}
	return repo, nil
}

func (c *Client) explain(format string, args ...any) {
	if c.options.Explain != nil {
		c.options.Explain(format, args...)
	}
}
