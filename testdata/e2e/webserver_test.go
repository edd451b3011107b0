package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// webServer is an nginx on loopback that serves a directory.
type webServer struct {
	url       string // without a login
	log       string
	readLines int // lines of the log that requests has returned
}

// serve serves a directory until the test ends. If login is "name:password", reading requires it.
func serve(t *testing.T, dir, login string) *webServer {
	t.Helper()
	p := lab.user
	own := p.scratch(t)
	// nginx cannot report a port that it chose, so choose an unused one.
	address := freeAddress(t)
	auth := ""
	if name, password, ok := strings.Cut(login, ":"); ok {
		writeFile(t, filepath.Join(own, "passwords"), name+":{PLAIN}"+password+"\n")
		auth = `auth_basic "cache"; auth_basic_user_file passwords;`
	}
	s := &webServer{url: "http://" + address, log: filepath.Join(own, "requests")}
	var temp strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "%s_temp_path %s/%s; ", kind, own, kind)
	}
	writeFile(t, filepath.Join(own, "nginx.conf"), fmt.Sprintf(`
daemon off;
master_process off;
pid %[1]s/pid;
events {}
http {
	log_format request "$connection $uri $status $remote_user";
	access_log %[2]s request;
	%[3]s
	server {
		listen %[4]s;
		location / { root %[5]s; %[6]s }
		location = /asked { return 204; }
	}
}
`, own, s.log, temp.String(), address, dir, auth))
	cmd := p.command(own, tool(t, "nginx"), "-e", "stderr", "-p", own, "-c", filepath.Join(own, "nginx.conf"))
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("nginx: %v\n%s", err, said.String())
		}
	})
	awaitServer(t, "tcp", address)
	return s
}

// request is one line of the access log.
type request struct {
	connection, file, status string
}

// requests returns the requests since the last call.
func (s *webServer) requests(t *testing.T) []request {
	t.Helper()
	// nginx logs requests in order: once it has logged this one, it has logged all before it.
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(s.url + "/asked")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		var all []request
		asked := false
		b, err := os.ReadFile(s.log)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(b), "\n")
		lines = lines[:len(lines)-1] // the last line is incomplete
		for _, line := range lines[min(s.readLines, len(lines)):] {
			words := strings.Fields(line)
			if len(words) < 3 {
				t.Fatalf("nginx logs %q", line)
			}
			if words[1] == "/asked" {
				asked = true
				continue
			}
			all = append(all, request{words[0], words[1], words[2]})
		}
		if asked {
			s.readLines = len(lines)
			return all
		}
		if time.Now().After(end) {
			t.Fatalf("nginx has logged %q but not the last request", lines)
		}
	}
}

// count counts requests by kind of file: "narinfo", "nar" or "other".
func count(requests []request) map[string]int {
	n := make(map[string]int)
	for _, r := range requests {
		switch {
		case strings.HasSuffix(r.file, ".narinfo"):
			n["narinfo"]++
		case strings.HasPrefix(r.file, "/nar/"):
			n["nar"]++
		default:
			n["other"]++
		}
	}
	return n
}

func connections(requests []request) int {
	all := make(map[string]bool)
	for _, r := range requests {
		all[r.connection] = true
	}
	return len(all)
}

// servePython serves a directory with Python's server, which only speaks HTTP/1.0, until the test ends.
func servePython(t *testing.T, dir string) (url string) {
	t.Helper()
	cmd := lab.user.command(dir, "/usr/bin/python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed above
	})
	// "Serving HTTP on 127.0.0.1 port 40961 (http://127.0.0.1:40961/) ..."
	line, err := bufio.NewReader(out).ReadString('\n')
	_, url, ok := strings.Cut(line, "(")
	url, _, end := strings.Cut(url, "/)")
	if err != nil || !ok || !end {
		t.Fatalf("python3 -m http.server says %q, %v", line, err)
	}
	return url
}
