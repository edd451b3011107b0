// Package registry puts images into registries, reads what is known there of previous ones, and looks into others,
// as the OCI distribution specification describes it.
//
// # Pushing
//
// A [Push] is given blobs while an image is being built (see ocilayout.Options.Deliver) and its manifest last.
// A tag leads to the old image until then, and to the new one from then on, whenever the program is killed.
// Nothing is compressed or changed on the way: the digest in the registry is that of the manifest.
//
// A blob that the repository has is not sent. One that another repository of the registry may have
// is asked for there (a mount). A layer that is kept from an image in the same repository is not even asked for,
// since a registry keeps what its manifests need; if it does not, the manifest is refused,
// and then all kept layers are asked for and those that are missing sent.
//
// Documents about the image can be attached to it before; see [Push.Attach].
//
// # Sharing layers
//
// A [Cache] is a repository in which machines find what others have built, signed by who did.
// Package ocilayout takes from it what it has, and builds the rest.
//
// # Failures
//
// What may pass is tried again, each time after a longer while: refusals for the moment (408, 429, 5xx),
// connections that break or stand still; less often where nobody listens on this machine. A blob is sent from its beginning again.
// Where a registry says how long it wants to be left alone (Retry-After), so it is.
// Errors say which registry, repository and blob, and the status of the answer; see [Error].
//
// # Safety
//
// Plain HTTP is used only where TLS need not be verified or the registry is on this machine, and then after HTTPS.
// Names and passwords are read when a registry asks for them, from files whose paths are given;
// see [Options].AuthFiles. Whatever a registry says has the digest that it should have,
// and no more is read of it than a manifest or a config may have.
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

// Options say how registries are talked to. The zero value is right.
type Options struct {
	// AuthFiles are files with names and passwords, or with the names of programs that have them,
	// in the form of docker's config.json and podman's auth.json.
	// The first that knows a registry counts. Files that do not exist are passed over.
	AuthFiles []string
	// Insecure accepts any certificate, and plain HTTP.
	Insecure bool
	// CA is certificates in PEM that are trusted in addition to the system's.
	CA []byte
	// Proxy says which proxy a request goes through, as in http.Transport; without it none does.
	Proxy func(*http.Request) (*url.URL, error)
	// Sent, if not nil, is called with the bytes of blobs sent since the last call, from several goroutines.
	// What has to be sent again is taken back before, as a negative number.
	Sent func(bytes int64)
	// Retrying, if not nil, is told before anything is tried again: why, and how long is waited, from several goroutines.
	Retrying func(err error, wait time.Duration)
	// Explain, if not nil, is told what else was done in another way than usual and why, for people, from several goroutines.
	Explain func(format string, args ...any)
}

// Client talks to registries.
type Client struct {
	options Options
	http    *http.Client

	mu    sync.Mutex
	plain map[string]bool // registries that were found to speak plain HTTP, or not

	wait time.Duration // before the second try
}

// New makes a client. It does not talk to anybody yet.
func New(o Options) (*Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = o.Proxy
	t.MaxIdleConnsPerHost = parallel + 2
	t.ResponseHeaderTimeout = 5 * time.Minute // a large blob may have to be moved once more
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: o.Insecure}
	if len(o.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(o.CA) {
			return nil, errors.New("the registry's CA has no certificate in PEM")
		}
		t.TLSClientConfig.RootCAs = pool
	}
	h := &http.Client{Transport: &patience{next: t}, CheckRedirect: o.checkRedirect}
	return &Client{options: o, http: h, plain: make(map[string]bool), wait: firstWait}, nil
}

// mostRedirects is what net/http follows by itself.
const mostRedirects = 10

var errPlainRedirect = errors.New("redirects from HTTPS to plain HTTP")

// checkRedirect refuses to go on in plain HTTP where TLS has to be verified:
// nobody could tell who answers.
func (o Options) checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) >= mostRedirects {
		return fmt.Errorf("stopped after %d redirects", mostRedirects)
	}
	if last := via[len(via)-1]; !o.Insecure && last.URL.Scheme == "https" && r.URL.Scheme != "https" {
		return fmt.Errorf("%s %w at %q", last.URL.Host, errPlainRedirect, r.URL.Host)
	}
	return nil
}

// repository prepares to talk about a repository, and asks its registry how it wants to be talked to.
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
