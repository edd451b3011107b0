package binarycache

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// status returns a handler that answers with the given status and header.
func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// encodedBody sends a complete body that is encoded with gzip.
func encodedBody(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(b)
	}
}

// hangUp breaks the connection.
func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// TestRetry checks which failures are retried, for each kind of file.
func TestRetry(t *testing.T) {
	f := make(files)
	n := f.object(t, smallPath, "gzip", text)
	for _, test := range []struct {
		name  string
		then  http.HandlerFunc
		times int64
		err   string // substring
		asked int64
	}{
		{"500", status(500), 2, "", 3},
		{"502 for too long", status(502), 9, "status 502 Bad Gateway (4 tries)", 4},
		{"501", status(501), 1, "status 501 Not Implemented", 1},
		{"408", status(408), 1, "", 2},
		{"429", status(429), 3, "", 4},
		{"400", status(400), 1, "status 400 Bad Request", 1},
		{"401", status(401), 1, "status 401 Unauthorized", 1},
		{"403", status(403), 1, "status 403 Forbidden", 1},
		{"404", status(404), 1, "status 404 Not Found", 1},
		{"204", status(204), 1, "status 204 No Content", 1},
		{"a part", status(206), 1, "status 206 Partial Content", 1},
		{"304", status(304), 1, "status 304 Not Modified", 1},
		{"hangs up", hangUp, 3, "", 4},
		{"hangs up for too long", hangUp, 9, "(4 tries)", 4},
		{"a long wait", status(503, "Retry-After", "3600"), 1, "status 503 Service Unavailable, Retry-After 1h0m0s", 1},
		{"another encoding", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "compress")
			fmt.Fprint(w, "x")
		}, 1, `content encoding "compress": unsupported`, 1},
		{"a broken encoding", encodedBody([]byte("no gzip")), 1, "decompress gzip", 1},
		{"a cut encoding", encodedBody(compress(t, "gzip", text)[:20]), 1, "unexpected EOF", 1},
	} {
		for _, name := range []string{cacheInfoName, smallPath.Digest() + ".narinfo", n.URL} {
			t.Run(test.name+" at "+name, func(t *testing.T) {
				h := &faulty{Handler: f, name: name, times: test.times, then: test.then}
				o := quickOptions()
				o.Attempts = 4
				s, err := Open(t.Context(), serve(t, h), o)
				var b []byte
				if err == nil {
					b, err = readFile(t.Context(), s, smallPath)
				}
				switch {
				case test.err == "" && (err != nil || !bytes.Equal(b, text)):
					t.Errorf("read = %q, %v; want the whole content", b, err)
				case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), name)):
					t.Errorf("read = %q, %v; want %s…%s", b, err, name, test.err)
				}
				gone := test.name == "403" || test.name == "404"
				if errors.Is(err, fs.ErrNotExist) != gone {
					t.Errorf("read = %v; errors.Is(err, fs.ErrNotExist) = %v, want %v", err, !gone, gone)
				}
				// On a reused connection, net/http itself retries once.
				again := strings.HasPrefix(test.name, "hangs up for") && name != cacheInfoName
				if got := h.seen.Load(); got != test.asked && !(again && got == test.asked+1) {
					t.Errorf("the server got %d requests; want %d", got, test.asked)
				}
			})
		}
	}
}

// TestPauses checks the pause before each attempt.
func TestPauses(t *testing.T) {
	var pauses []time.Duration
	var said []time.Duration
	o := Options{
		Retrying: func(_ error, d time.Duration) { said = append(said, d) },
		wait: func(_ context.Context, d time.Duration) error {
			pauses = append(pauses, d)
			return nil
		}}
	answers := []http.HandlerFunc{hangUp, status(500), status(429, "Retry-After", "7"), status(503, "Retry-After", "1")}
	asked := 0
	_, err := Open(t.Context(), serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked <= len(answers) {
			answers[asked-1](w, r)
			return
		}
		fmt.Fprintln(w, "StoreDir: /nix/store")
	})), o)
	if err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, 7 * time.Second, 2 * time.Second}
	if !slices.Equal(pauses, want) || !slices.Equal(said, want) {
		t.Errorf("pauses = %v, reported to Retrying as %v; want %v", pauses, said, want)
	}
}

// TestStall checks that an attempt fails if the server sends nothing, but not if server or reader are merely slow.
func TestStall(t *testing.T) {
	f := make(files)
	n := f.object(t, smallPath, "gzip", text)
	o := quickOptions()
	o.Stall, o.Attempts = 50*time.Millisecond, 2
	for name, slow := range map[string]http.HandlerFunc{
		"before the header": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"in the body": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(int(n.FileSize)))
			_, _ = w.Write([]byte{0x1f})
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		for _, at := range []string{smallPath.Digest() + ".narinfo", n.URL} {
			// After one stall, the second attempt succeeds.
			s := open(t, serve(t, &faulty{Handler: f, name: at, times: 1, then: slow}), o)
			if b, err := readFile(t.Context(), s, smallPath); err != nil || !bytes.Equal(b, text) {
				t.Errorf("%s of %s: %q, %v; want the whole content", name, at, b, err)
			}
			s = open(t, serve(t, &faulty{Handler: f, name: at, times: 9, then: slow}), o)
			if b, err := readFile(t.Context(), s, smallPath); err == nil || !strings.Contains(err.Error(), "sent nothing for 50ms") {
				t.Errorf("%s of %s, always: %q, %v; want a stall error", name, at, b, err)
			}
		}
	}
	t.Run("slow but not stalled", func(t *testing.T) {
		drip := func(w http.ResponseWriter, _ *http.Request) {
			for _, b := range f[n.URL] {
				_, _ = w.Write([]byte{b})
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Millisecond)
			}
		}
		h := &faulty{Handler: f, name: n.URL, times: 9, then: drip}
		if b, err := readFile(t.Context(), open(t, serve(t, h), o), smallPath); err != nil || !bytes.Equal(b, text) {
			t.Errorf("%q, %v; want the whole content", b, err)
		}
	})
	t.Run("a slow reader", func(t *testing.T) {
		s := open(t, serve(t, f), o)
		for e, err := range s.Files(t.Context(), smallPath) {
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * o.Stall)
			r, err := e.Open()
			if err != nil {
				t.Fatal(err)
			}
			r.Close()
		}
	})
}

// breaking serves one file in pieces: each response breaks off after step bytes.
type breaking struct {
	files
	name   string
	step   int
	ranges bool // answer range requests
	lie    bool // with another range than requested
	asked  atomic.Int64
}

func (b *breaking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/"+b.name {
		b.files.ServeHTTP(w, r)
		return
	}
	b.asked.Add(1)
	all := b.files[b.name]
	begin := 0
	if from := strings.TrimSuffix(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-"); from != "" && b.ranges {
		begin, _ = strconv.Atoi(from)
		if b.lie {
			begin++
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", begin, len(all)-1, len(all)))
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(all)-begin))
	if begin > 0 {
		w.WriteHeader(http.StatusPartialContent)
	}
	end := min(len(all), begin+b.step)
	if !b.ranges || b.lie {
		end = min(len(all), b.step*int(b.asked.Load()))
	}
	_, _ = w.Write(all[min(begin, end):end])
	_ = http.NewResponseController(w).Flush()
	if end < len(all) {
		panic(http.ErrAbortHandler)
	}
}

// TestResume checks that an interrupted download resumes, and never mixes two versions of a file.
func TestResume(t *testing.T) {
	content := make([]byte, 300_000)
	rand.NewChaCha8([32]byte{}).Read(content)
	f := make(files)
	n := f.object(t, smallPath, "gzip", content)
	for _, test := range []struct {
		name        string
		ranges, lie bool
		attempts    int
		asked       int64
		ok          bool
	}{
		{"from where it was", true, false, 5, 4, true},
		{"from the beginning", false, false, 5, 4, true},
		{"a server that sends other ranges", true, true, 5, 4, true},
		{"too often", true, false, 3, 3, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := &breaking{files: f, name: n.URL, step: 90_000, ranges: test.ranges, lie: test.lie}
			o := quickOptions()
			o.Attempts = test.attempts
			b, err := readFile(t.Context(), open(t, serve(t, h), o), smallPath)
			if ok := err == nil && bytes.Equal(b, content); ok != test.ok {
				t.Errorf("read %d bytes, %v; want success: %v", len(b), err, test.ok)
			}
			if got := h.asked.Load(); got != test.asked {
				t.Errorf("the server got %d requests; want %d", got, test.asked)
			}
		})
	}
	t.Run("a large file", func(t *testing.T) {
		large := make([]byte, 6_000_000)
		rand.NewChaCha8([32]byte{}).Read(large)
		f := make(files)
		n := f.object(t, smallPath, "gzip", large)
		for step, ok := range map[int]bool{1_300_000: true, 1_000_000: false} {
			h := &breaking{files: f, name: n.URL, step: step, ranges: true}
			o := quickOptions()
			o.Attempts = 2
			if b, err := readFile(t.Context(), open(t, serve(t, h), o), smallPath); (err == nil && bytes.Equal(b, large)) != ok {
				t.Errorf("two attempts for every %d bytes: read %d bytes, %v; want success: %v", step, len(b), err, ok)
			}
		}
	})
	t.Run("the file was replaced meanwhile", func(t *testing.T) {
		h := &breaking{files: f, name: n.URL, step: 200_000, ranges: true}
		other := &faulty{Handler: h, name: n.URL, times: 1, then: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(f[n.URL])))
			_, _ = w.Write(bytes.Repeat([]byte{0}, 10)) // not this file
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}}
		if _, err := readFile(t.Context(), open(t, serve(t, other), quickOptions()), smallPath); err == nil {
			t.Error("pieces of two files: no error")
		}
	})
	t.Run("no length and cut off", func(t *testing.T) {
		cut := &faulty{Handler: f, name: n.URL, times: 2, then: func(w http.ResponseWriter, r *http.Request) {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprintf(rw, "HTTP/1.0 200 OK\r\n\r\n")
			_, _ = rw.Write(f[n.URL][:50_000])
			_ = rw.Flush()
		}}
		if b, err := readFile(t.Context(), open(t, serve(t, cut), quickOptions()), smallPath); err != nil || !bytes.Equal(b, content) {
			t.Errorf("read %d bytes, %v; want the whole content", len(b), err)
		}
	})
}

// TestRedirect checks which redirects are followed.
func TestRedirect(t *testing.T) {
	f := make(files)
	n := f.object(t, smallPath, "gzip", text)
	plain := serve(t, f)
	var secure string
	location := func(to string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path != "/"+n.URL:
				f.ServeHTTP(w, r)
			case strings.HasPrefix(to, "loop"):
				left, _ := strconv.Atoi(r.URL.RawQuery)
				if r.URL.RawQuery == "" {
					left, _ = strconv.Atoi(to[4:])
				}
				if left == 0 {
					f.ServeHTTP(w, r)
					return
				}
				w.Header().Set("Location", r.URL.Path+"?"+strconv.Itoa(left-1))
				w.WriteHeader(http.StatusFound)
			default:
				w.Header().Set("Location", strings.ReplaceAll(to, "FILE", n.URL))
				w.WriteHeader(http.StatusTemporaryRedirect)
			}
		})
	}
	tls := httptest.NewTLSServer(location(plain + "/FILE"))
	t.Cleanup(tls.Close)
	secure = tls.URL
	roots := x509.NewCertPool()
	roots.AddCert(tls.Certificate())
	for _, test := range []struct{ name, at, err string }{
		{"elsewhere", serve(t, location(plain+"/FILE")), ""},
		{"10 times", serve(t, location("loop10")), ""},
		{"11 times", serve(t, location("loop11")), "more than 10 redirects"},
		{"a file", serve(t, location("file:///etc/passwd")), `redirect: leads to "file", which is neither http nor https`},
		{"nowhere", serve(t, location("")), "redirect: invalid Location"},
		{"not a URL", serve(t, location("http://a b/")), "redirect: invalid Location"},
		{"https to http", secure, "redirect: leads from https to http"},
		{"http to https to http", serve(t, location(secure+"/FILE")), "redirect: leads from https to http"},
	} {
		o := quickOptions()
		o.RootCAs = roots
		b, err := readFile(t.Context(), open(t, test.at, o), smallPath)
		switch {
		case test.err == "" && (err != nil || !bytes.Equal(b, text)):
			t.Errorf("%s: %q, %v; want the whole content", test.name, b, err)
		case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%s: %q, %v; want …%s", test.name, b, err, test.err)
		}
	}
	if _, err := Open(t.Context(), secure, quickOptions()); err == nil || !strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), "attempts") {
		t.Errorf("Open of a server with an unknown certificate = %v; want an error after one attempt", err)
	}
}

// TestURL checks that a narinfo cannot name a NAR outside the cache, neither on another host nor on the cache's own.
func TestURL(t *testing.T) {
	f := make(files)
	n := f.object(t, smallPath, "gzip", text)
	elsewhere := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("another host got a request for %q", r.URL)
		f.ServeHTTP(w, r)
	}))
	var outside atomic.Bool
	at := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/deep/") || strings.Contains(r.URL.Path, "..") {
			outside.Store(true)
		}
		http.StripPrefix("/deep", f).ServeHTTP(w, r)
	}))
	packed := n.URL
	const absolute, out = "is absolute", "is not a path below the binary cache"
	for url, want := range map[string]string{
		packed:                   "",
		packed + "?hash=x#y":     "",
		packed + "?up=../..":     "",
		at + "/deep/" + packed:   absolute,
		elsewhere + "/" + packed: absolute,
		strings.Replace(elsewhere, "http://", "http://u:p@", 1) + "/" + packed: absolute,
		strings.TrimPrefix(elsewhere, "http:") + "/" + packed:                  absolute,
		"ftp://localhost/" + packed:                                            absolute,
		"file:///etc/passwd":                                                   absolute,
		"http:///x":                                                            absolute,
		"http:x":                                                               absolute,
		"/deep/" + packed:                                                      out,
		"../deep/" + packed:                                                    out,
		"nar/../" + packed:                                                     out,
		"%2e%2e/deep/" + packed:                                                out,
		"..%2Fdeep/" + packed:                                                  out,
		"?x":                                                                   out,
		"nar\x7f":                                                              "is invalid",
	} {
		n.URL = url
		f[smallPath.Digest()+".narinfo"] = []byte(n.String())
		s := open(t, strings.Replace(at, "http://", "http://user:secret@", 1)+"/deep", quickOptions())
		b, err := readFile(t.Context(), s, smallPath)
		switch {
		case want == "" && (err != nil || !bytes.Equal(b, text)):
			t.Errorf("a NAR at %q: %q, %v; want the whole content", url, b, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), fmt.Sprintf("URL %q ", url)) || !strings.Contains(err.Error(), want)):
			t.Errorf("a NAR at %q: %v; want an error with the URL and %q", url, err, want)
		}
	}
	if outside.Load() {
		t.Error("the cache's server got a request for a path outside the cache")
	}
}

// TestLogin checks that a login comes from the URL or from netrc, goes only to the cache's origin, and into no error.
func TestLogin(t *testing.T) {
	f := make(files)
	n := f.object(t, smallPath, "gzip", text)
	guarded := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, _ := r.BasicAuth(); user != "me" || password != "pass word" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	open401 := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || strings.Contains(r.Header.Get("Referer"), "pass") {
			t.Error("the login went to another origin")
		}
		f.ServeHTTP(w, r)
	}))
	at := serve(t, guarded(&faulty{Handler: f, name: n.URL, times: 1, then: func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, open401+r.URL.Path, http.StatusFound)
	}}))
	netrc := filepath.Join(t.TempDir(), "netrc")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(netrc, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("machine 127.0.0.1 login me password \"pass word\"\n")
	o := quickOptions()
	o.Netrc = netrc
	if b, err := readFile(t.Context(), open(t, at, o), smallPath); err != nil || !bytes.Equal(b, text) {
		t.Errorf("with netrc: %q, %v; want the whole content", b, err)
	}
	withUser := strings.Replace(at, "http://", "http://me:pass%20word@", 1)
	write("machine 127.0.0.1 login other password wrong\n")
	if b, err := readFile(t.Context(), open(t, withUser, o), smallPath); err != nil || !bytes.Equal(b, text) {
		t.Errorf("with a user in the URL: %q, %v; want the whole content", b, err)
	}
	for location, o := range map[string]Options{
		at: o,
		strings.Replace(at, "http://", "http://me:hushhush@", 1):                quickOptions(),
		strings.Replace(at, "http://", "http://me:hushhush@", 1) + "/?x=secret": quickOptions(),
		"http://me:hush hush@[/":                                   quickOptions(),
		"http://me:hushhush@":                                      quickOptions(),
		"http://me:hushhush@localhost:x/":                          quickOptions(),
		"https://me:hushhush@" + strings.TrimPrefix(at, "http://"): quickOptions(),
	} {
		o.Attempts = 1
		_, err := Open(t.Context(), location, o)
		if err == nil || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "wrong") {
			t.Errorf("Open(%q) = %v; want an error without the password", location, err)
		}
	}
	o.Netrc = filepath.Join(t.TempDir(), "gone")
	if _, err := Open(t.Context(), at, o); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open with a missing netrc = %v; want %v", err, fs.ErrNotExist)
	}
}

// TestContentEncoding checks that content encodings are undone, and that a compressed bomb is an error.
func TestContentEncoding(t *testing.T) {
	f := make(files)
	f.object(t, smallPath, "none", text)
	for _, encoding := range []string{"gzip", "br", "zstd", "identity", "X-GZIP"} {
		at := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, ok := f[strings.TrimPrefix(r.URL.Path, "/")]
			if !ok {
				http.NotFound(w, r)
				return
			}
			if as := strings.TrimPrefix(strings.ToLower(encoding), "x-"); as != "identity" {
				b = compress(t, as, b)
			}
			w.Header().Set("Content-Encoding", encoding)
			_, _ = w.Write(b)
		}))
		if b, err := readFile(t.Context(), open(t, at, quickOptions()), smallPath); err != nil || !bytes.Equal(b, text) {
			t.Errorf("%s: %q, %v; want the whole content", encoding, b, err)
		}
	}
	bomb := &faulty{Handler: f, name: smallPath.Digest() + ".narinfo", times: 1, then: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(compress(t, "gzip", make([]byte, 16<<20)))
	}}
	if _, err := open(t, serve(t, bomb), quickOptions()).Info(t.Context(), smallPath); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("Info of a bomb = %v; want an error", err)
	}
}

// TestInfoOnce checks that each narinfo is fetched once, with few requests at a time.
func TestInfoOnce(t *testing.T) {
	f := golden(t)
	var mu sync.Mutex
	asked := make(map[string]int)
	now, most := 0, 0
	connections := make(map[string]bool)
	at := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.URL.Path]++
		connections[r.RemoteAddr] = true
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(time.Millisecond)
		f.ServeHTTP(w, r)
		mu.Lock()
		now--
		mu.Unlock()
	}))
	o := quickOptions()
	o.Connections = 3
	s := open(t, at, o)
	var group sync.WaitGroup
	for range 20 {
		for name := range f {
			if p, ok := strings.CutSuffix(name, ".narinfo"); ok {
				n := f.parse(t, p+".narinfo")
				group.Go(func() {
					if info, err := s.Info(t.Context(), n.Path); err != nil || info.NarHash != n.NarHash {
						t.Errorf("Info(%q) = %v, %v", n.Path, info, err)
					}
				})
			}
		}
	}
	group.Wait()
	for name, n := range asked {
		if n != 1 {
			t.Errorf("%s was fetched %d times; want 1", name, n)
		}
	}
	if most > 3 || len(connections) > 3 {
		t.Errorf("%d requests at once over %d connections; want at most 3", most, len(connections))
	}
}

// TestInfoAbandoned checks that a cancelled call does not fail the concurrent ones.
func TestInfoAbandoned(t *testing.T) {
	f := make(files)
	f.object(t, smallPath, "none", text)
	begun := make(chan struct{})
	at := serve(t, &faulty{Handler: f, name: smallPath.Digest() + ".narinfo", times: 1, then: func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	}})
	s := open(t, at, quickOptions())
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		if _, err := s.Info(ctx, smallPath); !errors.Is(err, context.Canceled) {
			t.Errorf("Info, cancelled = %v; want %v", err, context.Canceled)
		}
	})
	<-begun
	for range 4 {
		group.Go(func() {
			if info, err := s.Info(t.Context(), smallPath); err != nil || info.Path != smallPath {
				t.Errorf("Info = %v, %v; want %q", info, err, smallPath)
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	cancel()
	group.Wait()
}

// TestProxy checks that requests go through the proxy.
func TestProxy(t *testing.T) {
	f := make(files)
	f.object(t, smallPath, "none", text)
	proxy, err := url.Parse(serve(t, f)) // answers requests for any host
	if err != nil {
		t.Fatal(err)
	}
	o := quickOptions()
	o.Proxy = http.ProxyURL(proxy)
	b, err := readFile(t.Context(), open(t, "http://cache.invalid", o), smallPath)
	if err != nil || !bytes.Equal(b, text) {
		t.Errorf("through a proxy: %q, %v; want the whole content", b, err)
	}
	if _, err := Open(t.Context(), "http://cache.invalid", quickOptions()); err == nil || strings.Contains(err.Error(), "attempts") {
		t.Errorf("Open of an unknown host = %v; want an error after one attempt", err)
	}
}
