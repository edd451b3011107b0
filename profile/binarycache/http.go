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

	"github.com/export-profile/export-profile/profile/decompress"
)

// server is a cache at a URL.
type server struct {
	base      *url.URL // ends with a slash; nobody's login is in it
	login     *login   // for base's origin, or nil
	transport *http.Transport
	slots     chan struct{} // one for each small file that is asked for
	stall     time.Duration
	attempts  int
	backoff   time.Duration
	retrying  func(error, time.Duration) // or nil
	wait      func(context.Context, time.Duration) error
}

// Defaults, as Nix has them or close to it.
const (
	defaultConnections = 16
	defaultStall       = 30 * time.Second
	defaultAttempts    = 5
	defaultBackoff     = 250 * time.Millisecond
)

// newServer prepares for a server and asks it nothing.
// Its errors do not repeat the location, which may have a password in it.
func newServer(location string, o Options) (*server, error) {
	u, err := url.Parse(location)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, errors.New("its location is not a URL that can be understood")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("its URL has a query or a fragment, which no file of a cache could be found by")
	}
	h := &server{
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
	// One connection a request: in HTTP/2 a dead connection takes all requests with it, again and again.
	protocols.SetHTTP1(true)
	h.transport = &http.Transport{
		Proxy:                  o.Proxy,
		DialContext:            (&net.Dialer{Timeout: h.stall}).DialContext,
		TLSHandshakeTimeout:    h.stall,
		TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs},
		Protocols:              &protocols,
		DisableCompression:     true, // it would undo only gzip, and only sometimes
		MaxIdleConnsPerHost:    cap(h.slots),
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		ReadBufferSize:         64 << 10,
	}
	return h, nil
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

// check reports why the server is no cache that can be read.
func (h *server) check(ctx context.Context) error {
	b, err := h.read(ctx, cacheInfoName, maxCacheInfo)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("it is no binary cache: %w", err)
	}
	if err != nil {
		return err
	}
	named, err := checkCacheInfo(b)
	if err == nil && !named {
		err = errors.New("it is no binary cache: there is no StoreDir in it")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", cacheInfoName, err)
	}
	return nil
}

// resolve is the URL of a file of the cache: the cache's own, or one below it.
// A narinfo proves nothing yet when it says where its NAR is,
// and may not have this machine ask others for things that only it can reach.
func (h *server) resolve(ref string) (*url.URL, error) {
	u, err := url.Parse(ref)
	switch {
	case err != nil:
		return nil, fmt.Errorf("URL %q cannot be understood", ref)
	case u.Scheme != "" || u.Host != "" || strings.HasPrefix(ref, "//"):
		return nil, fmt.Errorf("URL %q is absolute, and not below the binary cache", ref)
	case ref != "" && !fs.ValidPath(u.Path): // decoded, as the server may do it
		return nil, fmt.Errorf("URL %q is no path below the binary cache", ref)
	}
	u.Fragment = ""
	return h.base.ResolveReference(u), nil
}

// follow reports why a server must not send from one URL to another.
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

// sameOrigin says whether a URL may be told the login.
func (h *server) sameOrigin(u *url.URL) bool {
	return u.Scheme == h.base.Scheme && strings.EqualFold(u.Hostname(), h.base.Hostname()) && port(u) == port(h.base)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

// read implements place. Each attempt begins anew, as there is no hash to put pieces together by.
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
	// What is compressed may be endless and come to nothing.
	r, err := decoded(a.header, io.NopCloser(io.LimitReader(a, limit+1)))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if int64(len(b)) > limit {
		return nil, final(fmt.Errorf("more than %d bytes", limit))
	}
	return b, err
}

// open implements place.
func (h *server) open(ctx context.Context, n *NarInfo) (io.ReadCloser, error) {
	u, err := h.resolve(n.URL)
	if err != nil {
		return nil, fmt.Errorf("NAR of %q: %w", n.Path, err)
	}
	d, err := h.download(ctx, u, n.FileSize)
	if err != nil {
		return nil, fmt.Errorf("fetch %q: %w", u, err)
	}
	r, err := decoded(d.header, d)
	if err != nil {
		return nil, fmt.Errorf("fetch %q: %w", u, errors.Join(err, d.Close()))
	}
	return r, nil
}

// encodings are the names that HTTP has for compressions.
var encodings = map[string]string{"gzip": "gzip", "x-gzip": "gzip", "br": "br", "zstd": "zstd", "xz": "xz", "bzip2": "bzip2"}

// encoded says whether what a server sends is compressed for the way,
// or because it was so put into a bucket: then it comes so whatever was asked for.
func encoded(header http.Header) bool {
	e := header.Values("Content-Encoding")
	return len(e) > 0 && !(len(e) == 1 && (e[0] == "" || e[0] == "identity"))
}

// decoded undoes Content-Encoding. To close it closes body.
func decoded(header http.Header, body io.ReadCloser) (io.ReadCloser, error) {
	if !encoded(header) {
		return body, nil
	}
	e := strings.Join(header.Values("Content-Encoding"), ", ")
	name, ok := encodings[strings.ToLower(e)]
	if !ok {
		return nil, final(fmt.Errorf("content encoding %q: %w", e, errors.ErrUnsupported))
	}
	z, err := decompress.Named(name, body)
	if err != nil {
		return nil, err
	}
	return decodedBody{z, body}, nil
}

type decodedBody struct {
	io.ReadCloser
	body io.Closer
}

func (d decodedBody) Close() error { return errors.Join(d.ReadCloser.Close(), d.body.Close()) }
