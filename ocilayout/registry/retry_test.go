package registry

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRetryAfter checks that all requests wait for as long as a registry asks.
func TestRetryAfter(t *testing.T) {
	f := newFake(t)
	var mu sync.Mutex
	var until time.Time
	tooEarly := 0
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if until.IsZero() && r.Method == http.MethodPut {
			until = time.Now().Add(time.Second)
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(429)
			return true
		}
		if r.Method == http.MethodPost && time.Now().Before(until.Add(-100*time.Millisecond)) {
			tooEarly++
		}
		return false
	}
	var reported atomic.Int64
	c := client(t, Options{Retrying: func(_ error, wait time.Duration) { reported.Store(int64(wait)) }})
	if _, _, err := push(t.Context(), t, c, f.at("x"), nil, image(t, nil, "none", part("a", 1, 1<<10))); err != nil {
		t.Fatal(err)
	}
	if wait := time.Duration(reported.Load()); wait < time.Second/2 || wait > time.Second {
		t.Errorf("Retrying got a wait of %v; want the registry's 1s", wait)
	}
	if time.Now().Before(until) || tooEarly > 0 {
		t.Errorf("the push ended %v early, with %d early requests", time.Until(until), tooEarly)
	}
}

// TestTryStopped checks that a request which another one's failure stops returns that failure as it is: it may be of another registry.
func TestTryStopped(t *testing.T) {
	f := newFake(t)
	repo, err := client(t, Options{}).repository(t.Context(), f.at("x"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	first := &Error{Do: "read cache", Registry: "cache.example.com", Repository: "cache", Login: "auth.json"}
	want := *first
	err = repo.try(ctx, "read manifest", func(context.Context) error {
		cancel(first)
		return errors.New("stopped")
	})
	if err != first || !cmp.Equal(*first, want) {
		t.Errorf("try = %+v; want the unchanged %+v", err, want)
	}
	var failed *Error
	err = repo.try(t.Context(), "read manifest", func(context.Context) error { return errors.New("damaged") })
	if !errors.As(err, &failed) || failed.Repository != "x" || failed.Registry != f.at("x").Registry {
		t.Errorf("try = %+v; want an error about %s", err, f.at("x"))
	}
}
