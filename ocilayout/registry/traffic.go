package registry

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
)

// Traffic counts requests, with those for logins and retries, and the bytes of their bodies.
type Traffic struct {
	Requests       int64
	Received, Sent int64 // bytes, without headers
}

// traffic counts the Traffic of a repository while it grows.
type traffic struct{ requests, received, sent atomic.Int64 }

func (t *traffic) sum() Traffic {
	return Traffic{t.requests.Load(), t.received.Load(), t.sent.Load()}
}

// trafficKey is the context key of the traffic that a request counts for.
type trafficKey struct{}

// meter is a transport that counts each request for the traffic in its context, if there is one.
type meter struct{ next http.RoundTripper }

func (m *meter) RoundTrip(r *http.Request) (*http.Response, error) {
	t, ok := r.Context().Value(trafficKey{}).(*traffic)
	if !ok {
		return m.next.RoundTrip(r)
	}
	t.requests.Add(1)
	if r.Body != nil && r.Body != http.NoBody {
		copied := *r // a transport must not change the request
		copied.Body = &countedBody{r.Body, &t.sent}
		r = &copied
	}
	answer, err := m.next.RoundTrip(r)
	if err == nil {
		answer.Body = &countedBody{answer.Body, &t.received}
	}
	return answer, err
}

// metered makes requests with the returned context count for t, which may be nil.
func metered(ctx context.Context, t *traffic) context.Context {
	if t == nil {
		return ctx
	}
	return context.WithValue(ctx, trafficKey{}, t)
}

// countedBody adds the bytes that are read of a body to n.
type countedBody struct {
	io.ReadCloser
	n *atomic.Int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	return n, err
}
