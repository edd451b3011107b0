package binarycache

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/export-profile/export-profile/profile"
)

// server is a cache on an HTTP server.
type server struct {
	storeDir  *profile.StoreDir // that the settings name, or nil
	base      *url.URL          // ends with a slash; contains no login
	login     *login            // for base's origin, or nil
	transport *http.Transport
	slots     chan struct{} // limits concurrent reads of small files
	stall     time.Duration
	attempts  int
	backoff   time.Duration
	retrying  func(error, time.Duration) // or nil
	wait      func(context.Context, time.Duration) error
}

// The defaults are Nix's, or close to them.
const (
	defaultConnections = 16
	defaultStall       = 30 * time.Second
	defaultAttempts    = 5
	defaultBackoff     = 250 * time.Millisecond
)

// newServer makes a server without contacting it.
// Its errors do not quote location, which may contain a password.
func newServer(location string, o Options) (*server, error) {
	u, err := url.Parse(location)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, errors.New("its location is not a valid URL")
	case u.Fragment != "":
		return nil, errors.New("its URL has a fragment, which cannot be combined with the names of files")
	}
	dir, err := ParseSettings(u.RawQuery)
	if err != nil {
		return nil, err
	}
	u.RawQuery, u.ForceQuery = "", false
	u.Host = strings.ToLower(u.Host)
	h := &server{
		storeDir: dir,
		slots:    make(chan struct{}, positive(o.Connections, defaultConnections)),
		stall:    positive(o.Stall, defaultStall),
		attempts: positive(o.Attempts, defaultAttempts),
		backoff:  positive(o.Backoff, defaultBackoff),
		retrying: o.Retrying,
		wait:     o.wait,
	}
	if h.wait == nil {
		h.wait = wait
	}
	if u.User != nil {
		h.login = &login{user: u.User.Username()}
		h.login.password, _ = u.User.Password()
		u.User = nil
	} else if o.Netrc != "" {
		if h.login, err = readNetrc(o.Netrc, u.Hostname()); err != nil {
			return nil, err
		}
	}
	if !strings.HasSuffix(u.Path, "/") {
		u = u.JoinPath("/")
	}
	h.base = u
	var protocols http.Protocols
	// HTTP/1 uses one connection per request; over HTTP/2, one dead connection would fail all requests at once, repeatedly.
	protocols.SetHTTP1(true)
	h.transport = &http.Transport{
		Proxy:                  o.Proxy,
		OnProxyConnectResponse: connected,
		DialContext:            (&net.Dialer{Timeout: h.stall}).DialContext,
		TLSHandshakeTimeout:    h.stall,
		TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs},
		Protocols:              &protocols,
		DisableCompression:     true, // the transport decodes only gzip, and not always; see decoded
		MaxIdleConnsPerHost:    cap(h.slots),
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		ReadBufferSize:         64 << 10,
	}
	return h, nil
}

// connected refuses the answer of a proxy that does not connect to a server.
func connected(_ context.Context, proxy *url.URL, _ *http.Request, r *http.Response) error {
	if r.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyError{proxy.Host, &statusError{r.StatusCode, retryAfter(r.Header)}}
}

func positive[N int | time.Duration](n, otherwise N) N {
	if n > 0 {
		return n
	}
	return otherwise
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (h *server) close() { h.transport.CloseIdleConnections() }

// check checks that the server is a binary cache, and returns its store directory.
func (h *server) check(ctx context.Context) (dir profile.StoreDir, err error) {
	b, err := h.read(ctx, cacheInfoName, maxCacheInfo)
	var status *statusError
	if errors.As(err, &status) && status.status == http.StatusForbidden {
		err = &LoginError{h.base.Hostname(), h.login != nil, err} // a private bucket
	}
	if errors.Is(err, fs.ErrNotExist) {
		return dir, fmt.Errorf("not a binary cache: %w", err)
	}
	if err != nil {
		return dir, err
	}
	dir, named, err := parseCacheInfo(b)
	if err == nil && !named {
		err = errors.New("not a binary cache: it names no StoreDir")
	}
	if err == nil && h.storeDir != nil && *h.storeDir != dir {
		err = fmt.Errorf("the store directory is %s, not %s", dir, h.storeDir)
	}
	if err != nil {
		return dir, fmt.Errorf("%s: %w", cacheInfoName, err)
	}
	return dir, nil
}

// resolve returns the URL of a file below the cache, or of the cache itself if ref is empty.
// It refuses other URLs: a narinfo is not trusted yet,
// and must not make this machine fetch from hosts that only it can reach.
func (h *server) resolve(ref string) (*url.URL, error) {
	u, err := url.Parse(ref)
	switch {
	case err != nil:
		return nil, fmt.Errorf("URL %q is invalid", ref)
	case u.Scheme != "" || u.Host != "" || strings.HasPrefix(ref, "//"):
		return nil, fmt.Errorf("URL %q is absolute, not a path below the binary cache", ref)
	case ref != "" && !fs.ValidPath(u.Path): // checked decoded, since the server may decode it
		return nil, fmt.Errorf("URL %q is not a path below the binary cache", ref)
	}
	u.Fragment = ""
	return h.base.ResolveReference(u), nil
}

// follow checks that a redirect between two URLs is allowed.
func follow(from, to *url.URL) error {
	switch {
	case to.Scheme != "http" && to.Scheme != "https":
		return fmt.Errorf("leads to %q, which is neither http nor https", to.Scheme)
	case from.Scheme == "https" && to.Scheme == "http":
		return errors.New("leads from https to http")
	case to.Host == "" || to.Opaque != "":
		return errors.New("leads to no host")
	}
	return nil
}

func (h *server) name(file string) string {
	u, err := h.resolve(file)
	if err != nil {
		return file
	}
	return u.String()
}

// sameOrigin reports whether u has the cache's scheme, host and port, and so may receive the login.
func (h *server) sameOrigin(u *url.URL) bool {
	return u.Scheme == h.base.Scheme && strings.EqualFold(u.Hostname(), h.base.Hostname()) && port(u) == port(h.base)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

// read implements backend. Each attempt starts over: without a hash, pieces cannot be combined safely.
func (h *server) read(ctx context.Context, name string, limit int64) ([]byte, error) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	u, err := h.resolve(name)
	if err != nil {
		return nil, err
	}
	t := tries{server: h}
	for {
		b, err := h.readOnce(ctx, u, limit)
		if err == nil {
			return b, nil
		}
		if err := t.again(ctx, err); err != nil {
			return nil, fmt.Errorf("fetch %q: %w", u, err)
		}
	}
}

func (h *server) readOnce(ctx context.Context, u *url.URL, limit int64) ([]byte, error) {
	header := http.Header{"Accept-Encoding": {"gzip, br, zstd"}}
	a, err := h.get(ctx, u, header)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	if a.status != http.StatusOK {
		return nil, &statusError{status: a.status}
	}
	// Limit the compressed bytes too: an endless stream may decompress to nothing.
	body := &body{r: io.LimitReader(a, limit+1)}
	r, err := decoded(a.header, body)
	if err != nil {
		return nil, body.cause(err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if int64(len(b)) > limit {
		return nil, final(fmt.Errorf("more than %d bytes", limit))
	}
	if err != nil {
		return nil, body.cause(err)
	}
	return b, nil
}

// body reads the body of an answer, and remembers why it broke off.
type body struct {
	r   io.Reader
	err error
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

func (b *body) Close() error { return nil }

// cause returns the reason for an error of the decompressor. If the body is complete, every attempt would fail.
func (b *body) cause(err error) error {
	if b.err != nil {
		return b.err
	}
	return final(err)
}

// open implements backend.
func (h *server) open(ctx context.Context, n *NarInfo) (io.ReadCloser, error) {
	u, err := h.resolve(n.URL)
	if err != nil {
		return nil, fmt.Errorf("NAR of %q: %w", n.Path, err)
	}
	d, err := h.download(ctx, u, n.FileSize, n.endless())
	if err != nil {
		return nil, fmt.Errorf("fetch %q: %w", u, err)
	}
	r, err := decoded(d.header, d)
	if err != nil {
		return nil, fmt.Errorf("fetch %q: %w", u, errors.Join(err, d.Close()))
	}
	return r, nil
}
