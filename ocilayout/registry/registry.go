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
// Then Push asks for all kept layers and sends the missing ones. If that is not enough, it sends those
// that the registry said it has. If a registry does not say whether it has a blob, the blob is sent,
// and a blob that cannot be mounted, too.
//
// [Push.Attach] attaches documents to an image, even before its manifest is pushed.
// [Push.Carry] copies what is attached to the same image in another repository.
//
// [Client.Referrers] lists and reads what is attached to an image: by the referrers API, or by the referrers tag.
// What a registry lists is checked against the artifact's own manifest, which names the image.
//
// # Sharing layers
//
// A [SharedCache] is a repository in which machines find layers that others have built and signed,
// and facts about store objects. Package ocilayout takes layers from it and builds the rest.
// A run asks for what it needs by tags that follow from that, and never lists the tags of the cache.
//
// Registries do not say when something was read. So each run that may write leaves a use note, at most one a day for the same
// image: a tag with the day, whose manifest names what the run used. [Client.PruneCache] deletes what no note of the last days names.
//
// # Failures
//
// Temporary failures are retried, with a longer wait each time: statuses 408, 429 and 5xx except 501 and 505,
// expired tokens and forgotten uploads, and connections that break or stall.
// A refused connection to this machine is retried less often. A blob is sent again from its beginning.
// If a registry asks for a wait (Retry-After), all requests to it wait. A wait of more than five minutes is an error.
// Errors name the registry, repository and blob, and the status of the answer; see [Error].
//
// # Real registries
//
// Requests to registries are this package's own, since many registries differ from the specification:
// statuses, lengths, types, digests, locations, challenges and waits are read as widely as is safe.
// The tables of quirks in the tests say what happens with which.
//
// # Safety
//
// Plain HTTP is used only if TLS need not be verified or the registry is on this machine, and only after HTTPS has failed.
// Unless TLS need not be verified, redirects from HTTPS to plain HTTP are refused.
// Logins are read when a registry asks for one, from the files in [Options].AuthFiles. They go to the registry and
// to its token endpoint, not to where it redirects or wants a blob sent. A registry elsewhere cannot send us
// to addresses of this machine or its network link. Blobs go to the registry's own host only.
// Credential helpers have two minutes and 64 KiB. Errors contain no URL.
// Manifests, configs and facts are checked against their digests and sizes, and the size of what is read is limited.
package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
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
	// Now, if not nil, replaces time.Now for the use and the age of what is in a shared cache.
	Now func() time.Time
	// Explain, if not nil, receives messages for people about everything else that did not go as planned,
	// for example a refused mount, from several goroutines.
	Explain func(format string, args ...any)
}

// Client talks to registries.
type Client struct {
	options  Options
	http     *http.Client
	patience *patience

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
	g := &guard{next: &meter{t}, proxy: o.Proxy, local: make(map[string]bool)}
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second, ControlContext: g.control}
	t.DialContext = dialer.DialContext
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
	p := &patience{next: g}
	h := &http.Client{Transport: &challenger{next: p}, CheckRedirect: o.checkRedirect}
	return &Client{options: o, http: h, patience: p, plain: make(map[string]bool), wait: firstWait}, nil
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

// now returns the time in UTC.
func (c *Client) now() time.Time {
	if c.options.Now != nil {
		return c.options.Now().UTC()
	}
	return time.Now().UTC()
}

func (c *Client) explain(format string, args ...any) {
	if c.options.Explain != nil {
		c.options.Explain(format, args...)
	}
}
