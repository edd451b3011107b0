// Package binarycache reads a store from a binary cache: a directory or an HTTP server.
//
// A cache (Nix, libstore/binary-cache-store.cc) consists of these files, and `guix publish` serves the same ones:
//
//	nix-cache-info      names the store directory
//	<hash>.narinfo      describes one object and says where its NAR is; see [ParseNarInfo]
//	nar/…               compressed NARs; the narinfo gives the path
//
// The package checks all that can be checked:
//
//   - A narinfo must be about the requested path.
//     Package trust decides whether to believe the rest of it.
//   - The narinfo names the NAR's compression; the file name does not count.
//     FileHash and FileSize do not count either: nothing signs them, and Nix never checks them.
//     The decompressed NAR must have exactly NarSize bytes and the hash NarHash.
//     Nothing may follow the NAR, neither inside nor outside the compression.
//     A walk that reaches its end has checked all this.
//   - A NAR's URL must be a path below the cache. Absolute URLs (which Nix follows) and ".." are refused:
//     a narinfo is not trusted yet, and must not choose which hosts this machine contacts.
//     The server itself may redirect up to 10 times, to http and https, but not from https to http.
//   - A login goes only to the cache's own origin (scheme, host and port).
//     Errors never contain it.
//
// Requests are retried after network errors and the statuses 408, 429 and 5xx (but 501, 505 and 511).
// An interrupted download resumes where it broke off.
// An attempt fails if the server sends nothing for a while; a slow server is no failure.
// 403, 404 and 410 mean that the object does not exist (S3 answers 403).
//
// A NAR is never held in memory. A walk over a large one decompresses at most 2 MiB ahead, in another goroutine.
// A tree may be walked several times, and the first walk often reads only names.
// So a walk that skips the content of the first non-empty file spools the NAR:
// it decompresses all of it into an unnamed file, which later walks read.
// A walk that opens that file probably reads everything, and spools nothing.
// [Store.Spooler] spools a NAR before its walk, if it is slow to decompress: several are then decompressed at the same time.
//
// The narinfos of a server can be cached in a directory, so that the next run need not fetch them.
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
	"github.com/export-profile/export-profile/profile/decompress"
)

// Options configure how a cache is read. The zero value works.
type Options struct {
	// SpoolDir holds the spool file of NARs that will be read again. Default: os.TempDir.
	// It is created on first use.
	SpoolDir string
	// Progress gets the number of compressed NAR bytes read since the last call.
	// Several goroutines call it at once.
	Progress func(bytes int64)
	// Workers help to decompress large NARs. Default: none.
	Workers *decompress.Workers

	// The following options concern servers only.

	// CacheDir keeps narinfos from run to run. If empty, they are not kept.
	// It is created on first use.
	CacheDir string
	// Netrc names a file with logins. It must exist.
	// A user in the location takes precedence.
	Netrc string
	// Connections limits concurrent requests for narinfos. Default: 16.
	// Each walk over a NAR has a connection of its own.
	Connections int
	// Stall limits how long a server may send nothing. Default: 30 seconds.
	Stall time.Duration
	// Attempts limits how often a request is sent. Default: 5.
	Attempts int
	// Backoff is the pause before the second attempt. Default: 250 ms.
	// It doubles with each further attempt.
	Backoff time.Duration
	// Proxy selects the proxy of a request, as in http.Transport. Default: none.
	Proxy func(*http.Request) (*url.URL, error)
	// RootCAs verify the server's certificate. Default: the system's.
	RootCAs *x509.CertPool

	// Retrying, if not nil, is called before each pause with its reason and length.
	// Several goroutines call it at once.
	Retrying func(err error, wait time.Duration)

	// wait replaces the pause between attempts in tests.
	wait func(context.Context, time.Duration) error
}

// backend gives access to the files of a cache.
type backend interface {
	// read returns the content of a small file.
	// The error wraps fs.ErrNotExist if the file does not exist.
	read(ctx context.Context, name string, limit int64) ([]byte, error)
	// open opens the file that a narinfo's URL names. Its errors are like those of read.
	open(ctx context.Context, n *NarInfo) (io.ReadCloser, error)
	// name returns the full name of a file for people. It contains no password.
	name(file string) string
	close()
}

// Store is an open binary cache. Its methods are safe for concurrent use.
type Store struct {
	dir      profile.StoreDir
	backend  backend
	progress func(int64)
	workers  *decompress.Workers
	spool    spooler
	infos    *infoCache     // nil if narinfos are not kept
	settle   func(*NarInfo) // nil, or chooses the location of a NAR

	mu      sync.Mutex
	objects map[profile.Path]*object
}

// Directory is a Store in a directory, which can also list its paths.
type Directory struct {
	*Store
	dir directory
}

// Open opens the cache at location: an http:// or https:// URL, or a directory.
// A directory gives a *[Directory], which is a [profile.Lister]; a URL gives a *[Store].
func Open(ctx context.Context, location string, o Options) (profile.Store, error) {
	s := &Store{progress: o.Progress, workers: o.Workers, spool: spooler{dir: o.SpoolDir}, objects: make(map[profile.Path]*object)}
	if !IsURL(location) {
		d := directory(location)
		var err error
		if s.dir, err = d.check(); err != nil {
			return nil, fmt.Errorf("open binary cache %q: %w", location, err)
		}
		s.backend, s.settle = d, d.settle
		return &Directory{s, d}, nil
	}
	// Don't quote location: it may contain a password.
	h, err := newServer(location, o)
	if err != nil {
		return nil, fmt.Errorf("open binary cache: %w", err)
	}
	if s.dir, err = h.check(ctx); err != nil {
		h.close()
		return nil, fmt.Errorf("open binary cache %q: %w", h.name(""), err)
	}
	s.backend = h
	if o.CacheDir != "" {
		s.infos = newInfoCache(o.CacheDir, h.name(""))
	}
	return s, nil
}

// IsURL reports whether location names a server rather than a directory.
func IsURL(location string) bool {
	scheme, _, ok := strings.Cut(location, "://")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// maxNarInfo limits a narinfo, with room for more than 10,000 references.
const maxNarInfo = 1 << 20

// object holds the narinfo of a store object. The first caller loads it, others wait.
type object struct {
	done      chan struct{} // closed once the fields below are set
	info      *NarInfo
	cached    bool // the narinfo comes from the infoCache
	err       error
	abandoned bool // err only says that the first caller's context ended

	region region
}

// StoreDir implements [profile.Store].
func (s *Store) StoreDir() profile.StoreDir { return s.dir }

// Info implements [profile.Store].
func (s *Store) Info(ctx context.Context, p profile.Path) (*profile.Info, error) {
	o, err := s.object(ctx, p)
	if err != nil {
		return nil, err
	}
	return &o.info.Info, nil
}

// Refresh is like Info, but fetches the narinfo again if an earlier run cached it:
// the object may have new signatures, or its NAR may have moved.
func (s *Store) Refresh(ctx context.Context, p profile.Path) (*profile.Info, error) {
	o, err := s.object(ctx, p)
	if err == nil && o.cached {
		s.infos.drop(p)
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

// object loads an object once for all concurrent callers.
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
			if o.info, o.cached, o.err = s.find(ctx, p); o.err != nil {
				o.abandoned = ctx.Err() != nil
				s.mu.Lock()
				delete(s.objects, p) // the next call tries again
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

// find returns the narinfo of p, and whether it comes from the infoCache.
func (s *Store) find(ctx context.Context, p profile.Path) (n *NarInfo, cached bool, err error) {
	if n := s.infos.get(p); n != nil {
		return n, true, nil
	}
	name := p.Digest() + ".narinfo"
	b, err := s.backend.read(ctx, name, maxNarInfo)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, fmt.Errorf("%q is not in the binary cache: %w", p, err)
	}
	if err != nil {
		return nil, false, err
	}
	if n, err = parseNarInfoOf(p, b); err != nil {
		return nil, false, fmt.Errorf("read %q: %w", s.backend.name(name), err)
	}
	if s.settle != nil {
		s.settle(n)
	}
	s.infos.put(n)
	return n, false, nil
}

// parseNarInfoOf parses a narinfo that must be about p.
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

// Proven implements [profile.Prover]: even a walk that opens no files checks the whole NAR.
func (s *Store) Proven(profile.Path) bool { return true }

// Close frees the store's resources. Its trees cannot be walked afterwards.
func (s *Store) Close() error {
	s.backend.close()
	return s.spool.close()
}
