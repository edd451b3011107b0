package registry

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestPresent checks that Present reports only blobs of the repository itself, reads none,
// and fails if the registry cannot be reached.
func TestPresent(t *testing.T) {
	f := newFake(t)
	c := client(t, Options{})
	there, elsewhere, nowhere := []byte("there"), []byte("elsewhere"), []byte("nowhere")
	f.blobs["team/hello"], f.blobs["team/other"] = make(map[digest.Digest][]byte), make(map[digest.Digest][]byte)
	f.put("team/hello", digest.FromBytes(there), there)
	f.put("team/other", digest.FromBytes(elsewhere), elsewhere)
	var blobs []ispec.Descriptor
	for _, b := range [][]byte{there, elsewhere, nowhere} {
		blobs = append(blobs, ispec.Descriptor{MediaType: ispec.MediaTypeImageLayer, Digest: digest.FromBytes(b), Size: int64(len(b))})
	}
	got, err := c.Present(t.Context(), f.at("team/hello:v1"), blobs)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false, false} {
		if got[blobs[i].Digest] != want {
			t.Errorf("Present says %v for blob %d; want %v", got[blobs[i].Digest], i, want)
		}
	}
	if n := f.count("GET /v2/team"); n > 0 {
		t.Errorf("Present read %d blobs; want none", n)
	}
	var waits []time.Duration
	c = client(t, Options{Retrying: func(err error, wait time.Duration) {
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Retrying(%v, %v); want %v", err, wait, syscall.ECONNREFUSED)
		}
		waits = append(waits, wait)
	}})
	if got, err := c.Present(t.Context(), Reference{Registry: "localhost:1", Repository: "x", Tag: "latest"}, blobs); err == nil {
		t.Errorf("Present of an unreachable registry = %v, <nil>; want an error", got)
	}
	if len(waits) != localTries-1 {
		t.Errorf("Present of an unreachable registry waited for %v; want %d waits", waits, localTries-1)
	}
}
