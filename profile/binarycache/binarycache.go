// Package binarycache is a store in a binary cache: a directory, or a server that speaks HTTP.
//
// A cache (Nix, libstore/binary-cache-store.cc) is a few kinds of files:
//
//	nix-cache-info      says for which store directory it is
//	<hash>.narinfo      what is known of an object, and where its NAR is; see [ParseNarInfo]
//	nar/…               compressed NARs, wherever below the cache a narinfo says
//
// Nothing a cache says is believed that can be checked:
//
//   - A narinfo is of the path that was asked for, or it is refused.
//     Whether to believe the rest of it is package trust's business.
//   - How a NAR is compressed says the narinfo, never the name of the file.
//     What is fetched has the size and the hash that the narinfo gives, if it gives any;
//     what it decompresses to has NarSize bytes, no more and no less, and the hash NarHash.
//     Nothing is behind the NAR, neither inside nor outside the compression.
//     A walk that comes to its end has proved all that.
//   - A NAR's URL is a path below the cache. Absolute ones (which Nix follows), and those with "..", are refused:
//     nothing vouches for a narinfo yet, and it must not choose whom else this machine asks.
//     The server itself may redirect, at most 10 times, to http and https, but not from https to http.
//   - A login goes to the cache's own origin (scheme, host and port) only,
//     and into no error.
//
// What can pass is tried again: network errors, and the statuses 408, 429 and 5xx;
// a download that was cut off is taken up where it ended.
// A server that sends nothing for a while is given up, one that is merely slow is not.
// 403, 404 and 410 mean that there is no such object (S3 says 403).
//
// A NAR is never held in memory.
// Since a tree may be walked again, and often is walked first for its names alone,
// a walk that does not open the first file with content keeps the NAR:
// it decompresses it to the end into a file without a name, and later walks read that.
// A walk that does open it is one that wants all, and keeps nothing.
//
// Narinfos of a server may be kept in a directory, so that the next run need not ask.
package binarycache

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/export-profile/export-profile/profile"
)

// Options say how a cache is read. The zero value is right.
type Options struct {
	// SpoolDir is where NARs are kept that will be read again, by default os.TempDir.
	// It is made if it does not exist.
	SpoolDir string
	// Progress is called with the bytes of compressed NARs read since the last call,
	// from several goroutines at once.
	Progress func(bytes int64)

	// The rest is for servers.

	// CacheDir is where narinfos are kept from run to run; without it they are not.
	// It is made if it does not exist.
	CacheDir string
	// Netrc is a file with logins. That there is none is an error.
	// A user in the location comes first.
	Netrc string
	// Connections is how many narinfos are asked for at once, by default 16.
	// A NAR has its own connection while it is walked.
	Connections int
	// Stall is how long a server may send nothing, by default 30 seconds.
	Stall time.Duration
	// Attempts is how often anything is tried, by default 5.
	Attempts int
	// Backoff is the pause before the second attempt, by default 250 ms.
	// It doubles with each that follows.
	Backoff time.Duration
	// Proxy says which proxy a request goes through, as in http.Transport; without it none does.
	Proxy func(*http.Request) (*url.URL, error)
	// RootCAs are those that may vouch for a server, by default the system's.
	RootCAs *x509.CertPool

	// Retrying, if not nil, is told before anything is tried again: why, and how long is waited, from several goroutines.
	Retrying func(err error, wait time.Duration)

	// wait is the pause between attempts, for tests.
	wait func(context.Context, time.Duration) error
}

// place is where the files of a cache are.
type place interface {
	// read is a small file of the cache.
	// The error wraps fs.ErrNotExist if there is none.
	read(ctx context.Context, name string, limit int64) ([]byte, error)
	// open opens the file that a narinfo's URL names. The error is as for read.
	open(ctx context.Context, n *NarInfo) (io.ReadCloser, error)
	// name is what people call a file of the cache. There is no password in it.
	name(file string) string
	close()
}

// Store is a binary cache. Its methods are safe for concurrent use.
type Store struct {
	place    place
	progress func(int64)
	spool    spooler
	kept     *keeper // nil where narinfos are not kept

	mu      sync.Mutex
	objects map[profile.Path]*object
}

// Directory is a cache in a directory, which can say what it holds.
type Directory struct {
	*Store
	dir directory
}

// Open opens the cache that is a directory, or a server at an http:// or https:// URL.
// The first is a *[Directory] and so a [profile.Lister], the other a *[Store].
func Open(ctx context.Context, location string, o Options) (profile.Store, error) {
	s := &Store{progress: o.Progress, spool: spooler{dir: o.SpoolDir}, objects: make(map[profile.Path]*object)}
	if !IsURL(location) {
		d := directory(location)
		if err := d.check(); err != nil {
			return nil, fmt.Errorf("open binary cache %q: %w", location, err)
		}
		s.place = d
		return &Directory{s, d}, nil
	}
	// url.Parse and the client repeat what they were given in their errors.
	h, err := newServer(location, o)
	if err != nil {
		return nil, fmt.Errorf("open binary cache: %w", err)
	}
	if err := h.check(ctx); err != nil {
		h.close()
		return nil, fmt.Errorf("open binary cache %q: %w", h.name(""), err)
	}
	s.place = h
	if o.CacheDir != "" {
		s.kept = newKeeper(o.CacheDir, h.name(""))
	}
	return s, nil
}

// IsURL says whether a location is a server and not a directory.
func IsURL(location string) bool {
	return strings.HasPrefix(location, "http://") || strings.HasPrefix(location, "https://")
}

// maxNarInfo is more than any narinfo has: 10,000 references and more.
const maxNarInfo = 1 << 20

// object is what is known of a store object. The first who asks finds out.
type object struct {
	done      chan struct{} // closed when what follows is set
	info      *NarInfo
	old       bool // kept from an earlier run
	err       error
	abandoned bool // err is only that who asked first did not wait

	spooled spooled
}

// Info implements [profile.Store].
func (s *Store) Info(ctx context.Context, p profile.Path) (*profile.Info, error) {
	o, err := s.object(ctx, p)
	if err != nil {
		return nil, err
	}
	return &o.info.Info, nil
}

// Refresh is Info, but what an earlier run kept is asked for again:
// its signatures may have become more, or its NAR may have gone elsewhere.
func (s *Store) Refresh(ctx context.Context, p profile.Path) (*profile.Info, error) {
	o, err := s.object(ctx, p)
	if err == nil && o.old {
		s.kept.drop(p)
		s.mu.Lock()
		if s.objects[p] == o {
			delete(s.objects, p)
		}
		s.mu.Unlock()
		o, err = s.object(ctx, p)
	}
	if err != nil {
		return nil, err
	}
	return &o.info.Info, nil
}

// object finds out about an object once, however many ask.
func (s *Store) object(ctx context.Context, p profile.Path) (*object, error) {
	for {
		s.mu.Lock()
		o, ok := s.objects[p]
		if !ok {
			o = &object{done: make(chan struct{})}
			s.objects[p] = o
		}
		s.mu.Unlock()
		if !ok {
			if o.info, o.old, o.err = s.find(ctx, p); o.err != nil {
				o.abandoned = ctx.Err() != nil
				s.mu.Lock()
				delete(s.objects, p) // the next may have more luck
				s.mu.Unlock()
			}
			close(o.done)
			return o, o.err
		}
		select {
		case <-o.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if !o.abandoned {
			return o, o.err
		}
	}
}

// find is the narinfo of an object, and whether it was kept from an earlier run.
func (s *Store) find(ctx context.Context, p profile.Path) (n *NarInfo, old bool, err error) {
	if n := s.kept.get(p); n != nil {
		return n, true, nil
	}
	name := p.Digest() + ".narinfo"
	b, err := s.place.read(ctx, name, maxNarInfo)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, fmt.Errorf("%q is not in the binary cache: %w", p, err)
	}
	if err != nil {
		return nil, false, err
	}
	if n, err = parseNarInfoOf(p, b); err != nil {
		return nil, false, fmt.Errorf("read %q: %w", s.place.name(name), err)
	}
	s.kept.put(n)
	return n, false, nil
}

// parseNarInfoOf parses the narinfo of a path, and of no other.
func parseNarInfoOf(p profile.Path, b []byte) (*NarInfo, error) {
	n, err := ParseNarInfo(b)
	if err == nil && n.Path != p {
		err = fmt.Errorf("it is about %q, not %q", n.Path, p)
	}
	if err != nil {
		return nil, err
	}
	return n, nil
}

// Proven implements [profile.Prover]: a walk that does not open files checks the whole NAR all the same.
func (s *Store) Proven(profile.Path) bool { return true }

// Close frees what the store holds. Its trees cannot be walked afterwards.
func (s *Store) Close() error {
	s.place.close()
	return s.spool.close()
}
