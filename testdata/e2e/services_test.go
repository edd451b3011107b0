package e2e

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// servicesProfile returns a profile of real daemons, which only these tests need.
var servicesProfile = sync.OnceValues(func() (string, error) {
	work := filepath.Join(lab.dir, "store")
	link := filepath.Join(work, "services")
	_, err := output(exec.Command("python3", "debstore.py", link, work,
		"nginx", "postgresql-15", "postgresql-client-15", "dash", "coreutils"))
	return link, err
})

func services(t *testing.T) string {
	t.Helper()
	link, err := servicesProfile()
	if err != nil {
		t.Fatal(err)
	}
	return link
}

const nginxConf = `daemon off;
worker_processes 1;
pid /run/nginx/nginx.pid;
error_log stderr;
events { }
http {
	access_log off;
	client_body_temp_path /var/cache/nginx/body;
	proxy_temp_path /var/cache/nginx/proxy;
	fastcgi_temp_path /var/cache/nginx/fastcgi;
	uwsgi_temp_path /var/cache/nginx/uwsgi;
	scgi_temp_path /var/cache/nginx/scgi;
	server {
		listen 127.0.0.1:%d;
		root /srv/www;
	}
}
`

// nginxFlags returns the flags for an image of nginx that serves a page as an ordinary user.
func nginxFlags(profile string) []string {
	return []string{
		"--profile", profile, "--user", "101:101",
		"--add", "nginx.conf:/etc/nginx/nginx.conf",
		"--add", "www:/srv/www",
		"--mkdir", "/run/nginx:0750:101:101",
		"--mkdir", "/var/cache/nginx:0700:101:101",
		"--entrypoint", `["nginx", "-e", "stderr"]`,
		"--expose", "8080",
	}
}

// nginxDocument describes the same image as nginxFlags.
const nginxDocument = `# This file is kept in git.
profile: %s
user: 101:101
changes:
- add: nginx.conf:/etc/nginx/nginx.conf
- add: www:/srv/www
- mkdir: /run/nginx:0750:101:101
- mkdir: /var/cache/nginx:0700:101:101
entrypoint: [nginx, -e, stderr]
expose: [8080]
`

// writeSite writes the files that nginx serves, and returns the port for nginx.
func writeSite(t *testing.T, dir string) int {
	t.Helper()
	_, p, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(p)
	if err != nil {
		t.Fatal(err)
	}
	writeSiteOn(t, dir, port)
	return port
}

func writeSiteOn(t *testing.T, dir string, port int) {
	t.Helper()
	writeFile(t, filepath.Join(dir, "nginx.conf"), fmt.Sprintf(nginxConf, port))
	if err := os.MkdirAll(filepath.Join(dir, "www/deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "www/index.html"), "a page of ours\n")
	writeFile(t, filepath.Join(dir, "www/deep/page.html"), "another one\n")
}

// TestNginx checks that nginx serves an added page as UID 101, from an image that an ordinary user built and runs.
func TestNginx(t *testing.T) {
	p := lab.user
	profile := services(t)
	for _, tt := range []struct {
		name string
		args func(dir string) []string
	}{
		{"flags", func(string) []string { return nginxFlags(profile) }},
		{"document", func(dir string) []string {
			writeFile(t, filepath.Join(dir, "image.yaml"), fmt.Sprintf(nginxDocument, profile))
			return []string{"--file", "image.yaml"}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := p.scratch(t)
			port := writeSite(t, dir)
			p.export(t, dir, append(append([]string{"image"}, tt.args(dir)...), "oci:web:v1")...)
			r := do(t, p.podman(dir, "pull", "-q", "oci:"+dir+"/web:v1"))
			name := "nginx-" + tt.name
			do(t, p.podman(dir, "run", "--detach", "--network=host", "--name", name, strings.TrimSpace(r.stdout)))
			defer func() { _ = try(t, p.podman(dir, "rm", "--force", "--time", "0", name)) }()
			for path, want := range map[string]string{"/": "a page of ours\n", "/deep/page.html": "another one\n"} {
				if got, err := fetch(fmt.Sprintf("http://127.0.0.1:%d%s", port, path)); err != nil || got != want {
					t.Errorf("nginx serves %q, %v at %s; want %q\n%v", got, err, path, want, try(t, p.podman(dir, "logs", name)))
				}
			}
			r = do(t, p.podman(dir, "exec", name, "/bin/sh", "-c", "id -u; stat -c '%u:%g %a %n' /run/nginx /var/cache/nginx /run/nginx/nginx.pid /srv/www/index.html"))
			want := "101\n101:101 750 /run/nginx\n101:101 700 /var/cache/nginx\n101:101 644 /run/nginx/nginx.pid\n0:0 644 /srv/www/index.html\n"
			if r.stdout != want {
				t.Errorf("%v\nwant stdout: %s", r, want)
			}
		})
	}
}

// fetch gets a page from a server that may still be starting.
func fetch(url string) (string, error) {
	var err error
	for range 100 {
		var r *http.Response
		if r, err = http.Get(url); err == nil {
			defer r.Body.Close()
			b, err := io.ReadAll(r.Body)
			return string(b), err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return "", err
}

const postgresScript = `set -e
export PATH=$PATH:/run/profile/lib/postgresql/15/bin LANG=C LC_ALL=C
initdb -D /var/lib/postgresql/data -A trust >/dev/null
pg_ctl -D /var/lib/postgresql/data -o "-c listen_addresses= -k /run/postgresql" -w start >/dev/null
psql -h /run/postgresql -d postgres -qc "create table t (a int)" -c "insert into t values (40), (2)"
psql -h /run/postgresql -d postgres -Atc "select sum(a) from t"
pg_ctl -D /var/lib/postgresql/data -m fast stop >/dev/null
id -un
`

// TestPostgres checks that PostgreSQL can create a database in a directory that its image gives to its user.
func TestPostgres(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	writeFile(t, filepath.Join(dir, "script.sh"), postgresScript)
	writeFile(t, filepath.Join(dir, "image.yaml"), fmt.Sprintf(`profile: %s
user: postgres:70:70
changes:
- mkdir: /var/lib/postgresql/data:0700:70:70
- mkdir: /run/postgresql:0775:70:70
- add: script.sh:/usr/local/bin/script:0755
cmd: [/bin/sh, /usr/local/bin/script]
volume: /var/lib/postgresql/data
destination: oci:db:v1
`, services(t)))
	flags := p.export(t, dir, "image", "--profile", services(t), "--user", "postgres:70:70",
		"--mkdir", "/var/lib/postgresql/data:0700:70:70", "--mkdir", "/run/postgresql:0775:70:70",
		"--add", "script.sh:/usr/local/bin/script:0755", "--cmd", `["/bin/sh", "/usr/local/bin/script"]`,
		"--volume", "/var/lib/postgresql/data", "oci:db:flags")
	if document := p.export(t, dir, "image", "--file", "image.yaml"); document != flags {
		t.Errorf("with a document, the digest is %s; with flags, it is %s", document, flags)
	}
	r := do(t, p.podman(dir, "pull", "-q", "oci:"+dir+"/db:v1"))
	if r := podmanRun(t, p, dir, strings.TrimSpace(r.stdout)); r.stdout != "42\npostgres\n" {
		t.Errorf("%v\nwant 42 and postgres", r)
	}
}

// TestAdditionsReproducible checks that the image depends neither on its builder nor on the umask, nor on owners and times of added files.
func TestAdditionsReproducible(t *testing.T) {
	flags := nginxFlags(services(t))
	digests := make(map[string]string)
	for _, tt := range []struct {
		name, umask string
		person      person
	}{
		{"user", "022", lab.user}, {"again", "022", lab.user}, {"umask 077", "077", lab.user}, {"root", "002", lab.root},
	} {
		dir := tt.person.scratch(t)
		writeSiteOn(t, dir, 8080)
		if tt.name != "user" {
			if err := os.Chmod(filepath.Join(dir, "www/index.html"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(filepath.Join(dir, "www/index.html"), time.Time{}, time.Unix(1e9, 0)); err != nil {
				t.Fatal(err)
			}
			if err := tt.person.own(dir); err != nil {
				t.Fatal(err)
			}
		}
		cmd := in("umask "+tt.umask, tt.person.command(dir, lab.program, append(append([]string{"image"}, flags...), "oci:web:v1")...))
		digests[tt.name] = strings.TrimSpace(do(t, cmd).stdout)
	}
	for name, digest := range digests {
		if digest != digests["user"] {
			t.Errorf("%s: digest %s; want %s", name, digest, digests["user"])
		}
	}
}

// TestUnpackedOwners checks that files have the requested owners and modes when root unpacks the image.
func TestUnpackedOwners(t *testing.T) {
	p := lab.root
	dir := p.scratch(t)
	writeSiteOn(t, dir, 8080)
	args := append([]string{"image"}, nginxFlags(services(t))...)
	p.export(t, dir, append(args, "--owner", "/srv/**=33:34", "--mode", "/srv/**/*.html=0640", "--symlink", "index.html:/srv/www/home", "oci:web:v1")...)
	do(t, p.command(dir, "umoci", "unpack", "--image", "web:v1", "bundle"))
	for path, want := range map[string]string{
		"run/nginx":              "drwxr-x--- 101:101",
		"var/cache/nginx":        "drwx------ 101:101",
		"etc/nginx/nginx.conf":   "-rw-r--r-- 0:0",
		"srv/www":                "drwxr-xr-x 33:34",
		"srv/www/index.html":     "-rw-r----- 33:34",
		"srv/www/deep/page.html": "-rw-r----- 33:34",
		"srv/www/home":           "Lrwxrwxrwx 33:34",
		"etc":                    "drwxr-xr-x 0:0",
		"tmp":                    "dtrwxrwxrwx 0:0",
	} {
		fi, err := os.Lstat(filepath.Join(dir, "bundle/rootfs", path))
		if err != nil {
			t.Error(err)
			continue
		}
		st := fi.Sys().(*syscall.Stat_t)
		if got := fmt.Sprintf("%v %d:%d", fi.Mode()&^fs.ModeIrregular, st.Uid, st.Gid); got != want {
			t.Errorf("%s is %s; want %s", path, got, want)
		}
	}
}
