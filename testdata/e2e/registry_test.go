package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// registryLogin is the login in registryPasswords, which htpasswd -B wrote.
const (
	registryLogin     = "user:right"
	registryPasswords = "user:$2b$05$bpEg4g.8jSuhDrczu4wNy.TukldzrpIbvx6lK0DemuJJcWvw7ntC2\n"
)

// startRegistry runs Debian's docker-registry on this machine until the test ends.
// The returned address has no scheme. config is added to the http section of its configuration.
func startRegistry(t *testing.T, config string) (address string) {
	t.Helper()
	return newDockerRegistry(t, config).address
}

// dockerRegistry is Debian's docker-registry on this machine, with its data in a directory.
type dockerRegistry struct {
	dir, address string
	logged       *os.File
	cmd          *exec.Cmd
}

func newDockerRegistry(t *testing.T, config string) *dockerRegistry {
	t.Helper()
	r := &dockerRegistry{dir: lab.user.scratch(t)}
	r.address = strings.Replace(freeAddress(t), "127.0.0.1", "localhost", 1) // the name in certificates
	writeFile(t, filepath.Join(r.dir, "config.yml"), fmt.Sprintf(
		"version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s/data}, delete: {enabled: true}}\n%s", r.dir,
		strings.ReplaceAll("http:\n  addr: ADDRESS\n"+config, "ADDRESS", r.address)))
	var err error
	if r.logged, err = os.Create(filepath.Join(r.dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.stop()
		r.logged.Close()
		if b, err := os.ReadFile(r.logged.Name()); err != nil || t.Failed() {
			t.Logf("docker-registry: %v\n%s", err, b[max(0, len(b)-2000):]) // it also logs requests for missing blobs
		}
	})
	r.start(t)
	return r
}

// start starts the registry, with additional environment variables.
func (r *dockerRegistry) start(t *testing.T, env ...string) {
	t.Helper()
	r.cmd = lab.user.with(env...).command(r.dir, "docker-registry", "serve", "config.yml")
	r.cmd.Stdout, r.cmd.Stderr = r.logged, r.logged
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitServer(t, "tcp", r.address)
}

func (r *dockerRegistry) stop() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

// collect frees the blobs that no manifest needs. The registry is stopped meanwhile.
func (r *dockerRegistry) collect(t *testing.T) {
	t.Helper()
	r.stop()
	if out, err := lab.user.command(r.dir, "docker-registry", "garbage-collect", "config.yml").CombinedOutput(); err != nil {
		t.Fatalf("collect garbage: %v\n%s", err, out)
	}
	r.start(t)
}

// registryCall sends a request about a repository to a registry.
func registryCall(t *testing.T, method, address, path string, body []byte) []byte {
	t.Helper()
	status, b := registryAnswer(t, method, address, path, body)
	if status >= 300 {
		t.Fatalf("%s %s: %d: %s", method, path, status, b)
	}
	return b
}

// registryAnswer makes a call like registryCall and returns the answer, whatever its status.
func registryAnswer(t *testing.T, method, address, path string, body []byte) (status int, b []byte) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+address+"/v2/"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", ispec.MediaTypeImageIndex+", "+ispec.MediaTypeImageManifest)
	r.Header.Set("Content-Type", ispec.MediaTypeImageManifest)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if b, err = io.ReadAll(answer.Body); err != nil {
		t.Fatalf("%s %s: %s: %v", method, path, answer.Status, err)
	}
	return answer.StatusCode, b
}

// checkPushed reads an image and all its blobs from a registry, without export-profile's code, and returns its digest.
func checkPushed(t *testing.T, address, repository, tag string) string {
	t.Helper()
	get := func(path string) []byte {
		t.Helper()
		return registryCall(t, http.MethodGet, address, repository+path, nil)
	}
	b := get("/manifests/" + tag)
	var m ispec.Manifest
	if err := json.Unmarshal(b, &m); err != nil || m.Config.Digest == "" || len(m.Layers) == 0 {
		t.Fatalf("%s in %s is not an image: %v: %s", tag, repository, err, b)
	}
	for _, d := range append(m.Layers, m.Config) {
		if blob := get("/blobs/" + d.Digest.String()); digest.FromBytes(blob) != d.Digest || int64(len(blob)) != d.Size {
			t.Errorf("blob %s in %s has %d bytes with digest %s", d.Digest, repository, len(blob), digest.FromBytes(blob))
		}
	}
	d := digest.FromBytes(b).String()
	verifies(t, lab.user, lab.user.home, d, "docker://"+address+"/"+repository+":"+tag)
	return d
}

// registryProxy is a proxy in front of a registry. It counts all bytes on its connections.
type registryProxy struct {
	address string
	bytes   atomic.Int64
	mu      sync.Mutex
	writes  []string // the requests that write
	reads   []proxiedRead
	fault   func(w http.ResponseWriter, r *http.Request) bool
}

// proxiedRead is a GET request and its answer.
type proxiedRead struct {
	path   string
	ranges int // 0 without a Range header
	status int
	bytes  int64 // of the body
}

// readRecorder completes a proxiedRead with the answer.
type readRecorder struct {
	http.ResponseWriter
	read *proxiedRead
}

func (r readRecorder) WriteHeader(status int) {
	r.read.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r readRecorder) Write(p []byte) (int, error) {
	n, err := r.ResponseWriter.Write(p)
	r.read.bytes += int64(n)
	return n, err
}

// Unwrap lets the proxy flush.
func (r readRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func startProxy(t *testing.T, registry string) *registryProxy {
	t.Helper()
	return startProxyTo(t, &url.URL{Scheme: "http", Host: registry}, nil)
}

// startSecureProxy starts a proxy in front of a registry from startSecureRegistry, with the same certificate.
func startSecureProxy(t *testing.T, registry, dir string) *registryProxy {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return startProxyTo(t, &url.URL{Scheme: "https", Host: registry}, &tls.Config{Certificates: []tls.Certificate{cert}})
}

func startProxyTo(t *testing.T, registry *url.URL, secure *tls.Config) *registryProxy {
	t.Helper()
	v := &registryProxy{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(registry)
			r.Out.Host = r.In.Host // the registry puts it into its Location headers
			r.SetXForwarded()      // and the scheme too
		},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			v.writes = append(v.writes, r.Method+" "+r.URL.Path)
		}
		fault := v.fault
		v.mu.Unlock()
		if r.Method == http.MethodGet {
			read := proxiedRead{path: r.URL.Path, status: http.StatusOK}
			if ranges := r.Header.Get("Range"); ranges != "" {
				read.ranges = 1 + strings.Count(ranges, ",")
			}
			defer func() {
				v.mu.Lock()
				v.reads = append(v.reads, read)
				v.mu.Unlock()
			}()
			w = readRecorder{w, &read}
		}
		if fault == nil || !fault(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Listener = countingListener{s.Listener, &v.bytes}
	if s.TLS = secure; secure != nil {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	_, address, _ := strings.Cut(s.URL, "://")
	v.address = strings.Replace(address, "127.0.0.1", "localhost", 1) // the name in certificates
	return v
}

type countingListener struct {
	net.Listener
	n *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countingConn{c, l.n}, err
}

type countingConn struct {
	net.Conn
	n *atomic.Int64
}

func (c countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func (c countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// forgetCache deletes the person's cache, as on a fresh CI runner.
func forgetCache(t *testing.T, p person) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(p.home, ".cache/export-profile")); err != nil {
		t.Fatal(err)
	}
}

// TestPushCompressions checks for every compression that a pushed image has the digest of a layout,
// that podman runs it, and that a second push sends nothing.
func TestPushCompressions(t *testing.T) {
	p := lab.user
	v := startProxy(t, startRegistry(t, ""))
	for _, c := range compressions {
		t.Run(c, func(t *testing.T) {
			dir := p.scratch(t)
			name := v.address + "/team/curl-" + tagOf(c)
			args := []string{"image", "--profile", lab.profile, "--compression", c}
			got := p.export(t, dir, append(args, "--tag", "latest", "--digest-file", "digest", "docker://"+name+":v1")...)
			want := p.export(t, dir, append(args, "oci:layout:v1")...)
			for _, tag := range []string{"v1", "latest"} {
				if pushed := checkPushed(t, v.address, "team/curl-"+tagOf(c), tag); pushed != want || got != want {
					t.Errorf("printed %s; the registry has %s as %s; want %s", got, pushed, tag, want)
				}
			}
			if b, err := os.ReadFile(filepath.Join(dir, "digest")); err != nil || string(b) != want {
				t.Errorf("--digest-file has %q, %v; want %s", b, err, want)
			}
			r := do(t, p.command(dir, "skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", "docker://"+name+":v1"))
			if strings.TrimSpace(r.stdout) != want {
				t.Errorf("%v\nwant %s", r, want)
			}
			do(t, p.podman(dir, "pull", "-q", "--tls-verify=false", name+":v1"))
			if r := podmanRun(t, p, dir, name+":v1", "curl", "--version"); !strings.HasPrefix(r.stdout, curlVersion(t)) {
				t.Errorf("%v\nwant %q", r, curlVersion(t))
			}
			v.writes = nil
			p.export(t, dir, append(args, "docker://"+name+":v1")...)
			if len(v.writes) > 0 {
				t.Errorf("the second push sent %q; want nothing", v.writes)
			}
			wantNoLitter(t, p, dir, "layout", "digest")
		})
	}
}

// startSecureRegistry starts a registry with TLS and one login, and writes its authority's certificate to ca.pem in a directory.
func startSecureRegistry(t *testing.T, dir string) (address string) {
	t.Helper()
	ca, cert := makeCA(t)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "ca.pem"), string(ca))
	writeFile(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})))
	writeFile(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	writeFile(t, filepath.Join(dir, "passwords"), registryPasswords)
	address = startRegistry(t, fmt.Sprintf("  tls: {certificate: %[1]s/cert.pem, key: %[1]s/key.pem}\nauth: {htpasswd: {realm: test, path: %[1]s/passwords}}\n", dir))
	c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	return address
}

// loginFile returns a login in the file format of podman and docker.
func loginFile(address, login string) string {
	return fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, address, base64.StdEncoding.EncodeToString([]byte(login)))
}

// startOpenProxy starts a proxy that allows reading from a secure registry without a login, for checkPushed.
func startOpenProxy(t *testing.T, registry string) (address string) {
	t.Helper()
	name, password, _ := strings.Cut(registryLogin, ":")
	s := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: registry})
			r.Out.SetBasicAuth(name, password)
		},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	})
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// TestPushSecure checks TLS with a private authority, and logins in the files of podman and docker.
func TestPushSecure(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	address := startSecureRegistry(t, dir)
	logins := func(login string) string { return loginFile(address, login) }
	homes := 0
	home := func(place, content string) person { // with a login in one of the files
		homes++
		name := fmt.Sprintf("home%d", homes)
		q := p.with("HOME="+filepath.Join(dir, name), "XDG_RUNTIME_DIR="+filepath.Join(dir, name, "run"))
		for file, login := range map[string]string{"config": ".docker/config.json", "config-home": ".config/containers/auth.json", "runtime": "run/containers/auth.json"} {
			path := filepath.Join(dir, name, login)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if file == place {
				writeFile(t, path, content)
			}
		}
		if err := p.own(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		return q
	}
	writeFile(t, filepath.Join(dir, "named.json"), logins(registryLogin))
	args := []string{"image", "--quiet", "--profile", dash(t), "docker://" + address + "/team/dash:v1"}
	trusting := append(args[:len(args):len(args)], "--registry-ca", "ca.pem")
	for _, tt := range []struct {
		name string
		p    person
		args []string
		say  string // on standard error; "" if the push succeeds
	}{
		{"podman's", home("runtime", logins(registryLogin)), trusting, ""},
		{"podman's, in the home", home("config-home", logins(registryLogin)), trusting, ""},
		{"docker's", home("config", logins(registryLogin)), trusting, ""},
		{"named", home("none", "").with("REGISTRY_AUTH_FILE=" + dir + "/named.json"), trusting, ""},
		{"any certificate", home("config", logins(registryLogin)), append(args[:len(args):len(args)], "--tls-verify=false"), ""},
		{"unknown authority", home("config", logins(registryLogin)), args, "--registry-ca"},
		{"no login", home("none", ""), trusting, "podman login"},
		{"wrong login", home("config", logins("user:wrong")), trusting, "status 401"},
		{"named and not there", home("none", "").with("REGISTRY_AUTH_FILE=" + dir + "/nothing.json"), trusting, "REGISTRY_AUTH_FILE"},
	} {
		r := try(t, tt.p.command(dir, lab.program, tt.args...))
		if tt.say == "" && r.status() != 0 || tt.say != "" && (r.status() != 1 || !strings.Contains(r.stderr, tt.say)) {
			t.Errorf("%s: %v\nwant %q", tt.name, r, tt.say)
		}
		if strings.Contains(r.stderr, "wrong\"") || strings.Contains(r.stderr, base64.StdEncoding.EncodeToString([]byte("user:wrong"))) {
			t.Errorf("%s: %v\nprints a password", tt.name, r)
		}
	}
}

// pushTarget is a registry behind a proxy, and the person who pushes to it.
type pushTarget struct {
	*registryProxy
	person
	inspected string   // another address, which needs no login to read
	flags     []string // to push and to read
}

// eachRegistry runs a test with an open registry, and with one that has TLS and a login.
func eachRegistry(t *testing.T, test func(t *testing.T, w pushTarget)) {
	t.Run("open", func(t *testing.T) {
		registry := startRegistry(t, "")
		test(t, pushTarget{registryProxy: startProxy(t, registry), person: lab.user, inspected: registry})
	})
	t.Run("secure", func(t *testing.T) {
		keys := lab.user.scratch(t)
		registry := startSecureRegistry(t, keys)
		w := pushTarget{registryProxy: startSecureProxy(t, registry, keys), inspected: startOpenProxy(t, registry), flags: []string{"--registry-ca", keys + "/ca.pem"}}
		writeFile(t, filepath.Join(keys, "login.json"), loginFile(w.address, registryLogin))
		w.person = lab.user.with("REGISTRY_AUTH_FILE=" + keys + "/login.json")
		if answer, err := http.Get("http://" + w.address + "/v2/"); err == nil && answer.StatusCode < 400 {
			t.Errorf("the registry is not secure: %s", answer.Status)
		}
		test(t, w)
	})
}

// TestPushUpdate checks that with the previous image in a registry and an empty cache, only changes go over the wire.
func TestPushUpdate(t *testing.T) { eachRegistry(t, pushUpdate) }

func pushUpdate(t *testing.T, v pushTarget) {
	p := v.person
	dir := p.scratch(t)
	random := rand.NewChaCha8([32]byte{1})
	leaf := func(version string) (path string, size int64) {
		tree := filepath.Join(dir, version, "leaf")
		if err := os.MkdirAll(tree, 0o755); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 3<<20)
		_, _ = random.Read(b)
		writeFile(t, filepath.Join(tree, "data"), string(b))
		path = strings.TrimSpace(do(t, nix("nix-store", "--add", tree)).stdout)
		t.Cleanup(func() { do(t, nix("nix-store", "--delete", path)) })
		return path, int64(len(b)) // random bytes do not compress
	}
	one, _ := leaf("1")
	two, size := leaf("2")
	name := "docker://" + v.address + "/team/app"
	image := func(leaf string, args ...string) string {
		t.Helper()
		args = slices.Concat([]string{"image", "--profile", lab.profile, "--profile", leaf}, v.flags, args)
		r := try(t, p.command(dir, lab.program, args...)) // without do's verification, which would use the wire; checkPushed verifies instead
		if r.status() != 0 {
			t.Fatalf("%v", r)
		}
		return strings.TrimSpace(r.stdout)
	}
	image(one, name+":v1")

	forgetCache(t, p)
	before := v.bytes.Load()
	start := time.Now()
	pushed := image(two, "--previous", name+":v1", name+":v2")
	took, traffic := time.Since(start), v.bytes.Load()-before
	limit := size*110/100 + 128<<10
	t.Logf("%d bytes changed; %d on the wire (limit %d) in %v", size, traffic, limit, took)
	if traffic > limit {
		t.Errorf("%d bytes on the wire for %d changed bytes; want at most %d", traffic, size, limit)
	}
	if got := checkPushed(t, v.inspected, "team/app", "v2"); got != pushed {
		t.Errorf("printed %s; the registry has %s", pushed, got)
	}

	// For another repository, the layers are mounted.
	forgetCache(t, p)
	before = v.bytes.Load()
	if got := image(two, "--previous", name+":v1", "docker://"+v.address+"/other/app:v2"); got != pushed {
		t.Errorf("into another repository: %s; want %s", got, pushed)
	}
	if traffic := v.bytes.Load() - before; traffic > limit {
		t.Errorf("into another repository: %d bytes on the wire; want at most %d", traffic, limit)
	}
	checkPushed(t, v.inspected, "other/app", "v2")

	// With --mount-from, only the manifest is sent.
	before = v.bytes.Load()
	image(two, "--cache", "cache", "--mount-from", v.address+"/team/app", "--previous", name+":v2", "docker://"+v.address+"/third/app:v2")
	if traffic := v.bytes.Load() - before; traffic > 256<<10 {
		t.Errorf("with all layers in the registry: %d bytes on the wire", traffic)
	}
	checkPushed(t, v.inspected, "third/app", "v2")

	// For a layout, reused layers are fetched from the registry.
	forgetCache(t, p)
	if got := image(two, "--previous", name+":v1", "oci:layout:v2"); got != pushed {
		t.Errorf("into a layout: %s; want %s", got, pushed)
	}
	wantLayout(t, filepath.Join(dir, "layout"), map[string]string{"v2": pushed})

	do(t, p.podman(dir, "pull", "-q", "--tls-verify=false", v.address+"/team/app:v2"))
	if r := podmanRun(t, p, dir, v.address+"/team/app:v2", "curl", "--version"); !strings.HasPrefix(r.stdout, curlVersion(t)) {
		t.Errorf("%v\nwant %q", r, curlVersion(t))
	}
}

// TestPushFlaky checks that pushes succeed to a registry that sometimes drops connections, is slow or refuses requests.
func TestPushFlaky(t *testing.T) { eachRegistry(t, pushFlaky) }

func pushFlaky(t *testing.T, v pushTarget) {
	p := v.person
	dir := p.scratch(t)
	want := p.export(t, dir, "image", "--profile", lab.profile, "oci:layout:v1")
	// Every seventh request meets the next fault, so a push of three or four requests succeeds eventually.
	// With random faults, one blob in hundreds would fail in all seven tries.
	requests := 0
	var faults [5]int
	v.fault = func(w http.ResponseWriter, r *http.Request) bool {
		v.mu.Lock()
		requests++
		n := -1
		if requests%7 == 0 {
			n = requests / 7 % len(faults)
			faults[n]++
		}
		v.mu.Unlock()
		switch n {
		case 0:
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			panic(http.ErrAbortHandler)
		case 3:
			_, _ = io.CopyN(io.Discard, r.Body, 10<<10)
			panic(http.ErrAbortHandler)
		case 4:
			time.Sleep(500 * time.Millisecond)
			return false
		default:
			return false
		}
		return true
	}
	for i := range 10 {
		name := fmt.Sprintf("team/flaky%d", i)
		var flags []string
		if i >= 5 { // now layers are read and mounted through the same faults, without a cache
			forgetCache(t, p)
			flags = []string{"--previous", "docker://" + v.address + "/team/flaky0:v1"}
		}
		got := p.export(t, dir, slices.Concat([]string{"image", "--profile", lab.profile}, flags, v.flags, []string{"docker://" + v.address + "/" + name + ":v1"})...)
		if pushed := checkPushed(t, v.inspected, name, "v1"); got != want || pushed != want {
			t.Errorf("printed %s; the registry has %s; want %s", got, pushed, want)
		}
	}
	t.Logf("500, 429, dropped, dropped within, slow: %v", faults)
	for i, n := range faults {
		if n == 0 {
			t.Errorf("fault %d never happened", i)
		}
	}
}

// pushKills is the number of interrupted pushes for each registry and signal.
const pushKills = 15

// TestKillPush interrupts pushes that replace a tag, and checks that the tag points to the old or the new image, complete.
func TestKillPush(t *testing.T) {
	open := startRegistry(t, "")
	keys := lab.user.scratch(t)
	secure := startSecureRegistry(t, keys)
	writeFile(t, filepath.Join(keys, "login.json"), loginFile(secure, registryLogin))
	t.Run("open", func(t *testing.T) { killPushes(t, lab.user, open, open) })
	t.Run("secure", func(t *testing.T) {
		killPushes(t, lab.user.with("REGISTRY_AUTH_FILE="+keys+"/login.json"), secure, startOpenProxy(t, secure), "--registry-ca", keys+"/ca.pem")
	})
}

// killPushes interrupts pushes to a registry, and checks the results at another address of it.
func killPushes(t *testing.T, p person, address, inspected string, flags ...string) {
	for _, s := range signals {
		t.Run(s.name, func(t *testing.T) {
			dir := p.scratch(t)
			export := goldenExport(t, dir)
			v := &victim{person: p, dir: dir, killed: make(map[string]int)}
			random := rand.New(rand.NewPCG(1, 2))
			inTime := 0
			for i := range pushKills {
				name := fmt.Sprintf("%s/n%d", strings.ToLower(s.name), i)
				push := func(args ...string) string {
					return p.export(t, dir, slices.Concat([]string{"image"}, args, flags, []string{"docker://" + address + "/" + name + ":v1"})...)
				}
				if i%remeasure == 0 {
					v.args = append([]string{"image", "--profile", dash(t), "docker://" + address + "/measure" + name + ":v1"}, flags...)
					v.measure(t)
				}
				old := push("--from", export)
				v.args = append([]string{"image", "--profile", dash(t), "docker://" + address + "/" + name + ":v1"}, flags...)
				v.forget(t)
				if v.interrupt(t, random, s.signal) {
					inTime++
				}
				left := checkPushed(t, inspected, name, "v1")
				if s.cleans {
					wantNoLitter(t, p, dir, filepath.Base(export))
				}
				want := push("--profile", dash(t))
				if got := checkPushed(t, inspected, name, "v1"); got != want || left != old && left != want {
					t.Fatalf("an interrupted push left %s, and the next one %s; want %s or %s, and then the latter", left, got, old, want)
				}
				wantNoLitter(t, p, dir, filepath.Base(export))
			}
			t.Logf("%d of %d pushes were interrupted; %v each: %v", inTime, pushKills, v.duration, v.killed)
			if inTime < pushKills/2 {
				t.Errorf("too few of %d pushes were interrupted: %v", pushKills, v.killed)
			}
		})
	}
}
