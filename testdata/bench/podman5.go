package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// trixie returns the root of the next Debian, whose podman pulls only the parts of layers that it lacks.
func (l *lab) trixie() (string, error) {
	root := filepath.Join(filepath.Dir(l.keep), "trixie")
	return root, l.prepared("the next Debian", func() error {
		if _, err := os.Stat(root); err == nil {
			return nil
		}
		mirror, err := l.output("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian")
		if err != nil {
			return err
		}
		mirror, _, _ = strings.Cut(mirror, "\n")
		if err := removeAll(root + ".new"); err != nil {
			return err
		}
		if _, err := l.output("mmdebstrap", "--mode=root", "--variant=extract", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
			"--include=base-files,bash,coreutils,dash,mount,util-linux,ca-certificates,podman,runc", "trixie", root+".new", mirror); err != nil {
			return err
		}
		for _, name := range []string{"proc", "sys", "dev", "run", "tmp", "var/tmp", "root", "var/lib/containers"} {
			if err := os.MkdirAll(filepath.Join(root+".new", name), 0o755); err != nil {
				return err
			}
		}
		// A configured package would have made these.
		run := root + ".new/var/run"
		if err := errors.Join(os.RemoveAll(run), os.Symlink("/run", run), os.WriteFile(root+".new/etc/passwd", []byte("root:x:0:0::/root:/bin/sh\n"), 0o644),
			os.WriteFile(root+".new/etc/group", []byte("root:x:0:\n"), 0o644)); err != nil {
			return err
		}
		return os.Rename(root+".new", root)
	})
}

// inTrixie runs a command in the next Debian, with its own mounts. All but the directory of the node disappears with the command.
const inTrixie = `set -eu
root=$1 scratch=$2 node=$3
shift 3
mount --bind "$root" "$root"
mount -t proc none "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
for dir in run tmp dev/shm; do mount -t tmpfs none "$root/$dir"; done
mkdir -p "$node/tmp" "$node/known"
mount --bind "$node/known" "$root/var/lib/containers" # what podman knows about blobs: otherwise it would compress and push all layers again
mount --bind "$node/tmp" "$root/var/tmp" # a disk, but not a place that other nodes see
mkdir -p "$root$scratch"
mount --bind "$scratch" "$root$scratch"
cd "$root"
pivot_root . .
umount -l .
cd /
exec "$@"
`

// podman returns a command of the next Debian's podman, with the storage of a node.
func (l *lab) podman(node string, args ...string) ([]string, error) {
	root, err := l.trixie()
	if err != nil {
		return nil, err
	}
	dir := l.path("node-" + node)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	storage := fmt.Sprintf("[storage]\ndriver = \"overlay\"\ngraphroot = \"%s/storage\"\nrunroot = \"/run/storage\"\n\n"+
		"[storage.options.pull_options]\nenable_partial_images = \"true\"\n", dir)
	engine := "[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n"
	if err := errors.Join(os.WriteFile(dir+"/storage.conf", []byte(storage), 0o644), os.WriteFile(dir+"/containers.conf", []byte(engine), 0o644)); err != nil {
		return nil, err
	}
	return append([]string{"unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", inTrixie, "sh", root, l.scratch, dir,
		"env", "HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR=/var/tmp", "XDG_RUNTIME_DIR=", "CONTAINERS_STORAGE_CONF=" + dir + "/storage.conf",
		"CONTAINERS_CONF=" + dir + "/containers.conf", "podman"}, args...), nil
}

// runPodman measures a command of podman.
func (l *lab) runPodman(node string, args ...string) (sample, error) {
	command, err := l.podman(node, args...)
	if err != nil {
		return sample{}, err
	}
	return l.run(command...)
}

// podmanOutput runs a command of podman without measuring it.
func (l *lab) podmanOutput(node string, args ...string) (string, error) {
	command, err := l.podman(node, args...)
	if err != nil {
		return "", err
	}
	out, err := l.output(command...)
	return strings.TrimSpace(out), err
}

// wire counts the bytes that clients of a registry send and receive.
type wire struct {
	net.Listener
	bytes atomic.Int64
}

type wireConn struct {
	net.Conn
	bytes *atomic.Int64
}

func (w *wire) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	return wireConn{c, &w.bytes}, err
}

func (c wireConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

func (c wireConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.bytes.Add(int64(n))
	return n, err
}

// withWire runs a registry, and calls f with the repository and the counter of the bytes on the way to it.
func (l *lab) withWire(storage string, f func(repository string, w *wire) error) error {
	return l.withRegistry(storage, func(repository string) error {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		w := &wire{Listener: listener}
		behind, err := url.Parse(strings.Replace(repository, "docker:", "http:", 1))
		if err != nil {
			return err
		}
		name := behind.Path
		behind.Path = ""
		s := &http.Server{Handler: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(behind)
			r.Out.Host = r.In.Host // the registry puts it into its Location headers
		}}}
		done := make(chan error)
		go func() { done <- s.Serve(w) }()
		err = f("docker://"+listener.Addr().String()+name, w)
		err = errors.Join(err, s.Close())
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	})
}

// podmanWriter stands for podman push --compression-format=zstd:chunked among the compressions of our images.
const podmanWriter = "podman"

// pushed makes a registry with images of the base and another generation, written by one writer.
// The second image reuses layers of the first one.
func (l *lab) pushed(writer string, g *generation) (storage string, err error) {
	storage = l.path("registry-" + strings.ReplaceAll(writer, ":", "-"))
	for _, g := range []*generation{l.base, g} {
		if err == nil {
			err = l.prepared("the image of "+filepath.Base(g.profile)+" in a registry, written as "+writer, func() error {
				return l.withRegistry(storage, func(repository string) error { return l.pushAs(writer, repository, g) })
			})
		}
	}
	return storage, err
}

func (l *lab) pushAs(writer, repository string, g *generation) error {
	if writer == podmanWriter {
		id, err := l.loaded(g)
		if err != nil {
			return err
		}
		_, err = l.podmanOutput("writer", podmanPush(id, repository+":"+g.tag())...)
		return err
	}
	args := []string{l.program, "image", "--quiet", "--compression", writer, "--profile", g.profile, "--tls-verify=false", "--no-cache"}
	if g != l.base {
		args = append(args, "--previous", repository+":"+l.base.tag())
	}
	_, err := l.output(append(args, repository+":"+g.tag())...)
	return err
}

func podmanPush(id, name string) []string {
	return []string{"push", "-q", "--tls-verify=false", "--compression-format=zstd:chunked", "--force-compression", id, name}
}

// loaded loads the image of a generation into the storage from which podman pushes.
func (l *lab) loaded(g *generation) (id string, err error) {
	list := l.path("loaded-" + g.tag())
	err = l.prepared("the image of "+filepath.Base(g.profile)+" in podman's storage", func() error {
		layout := l.path("plain-layout")
		args := []string{l.program, "image", "--quiet", "--compression", "none", "--profile", g.profile, "--no-cache"}
		if g != l.base {
			args = append(args, "--previous", "oci:"+layout+":"+l.base.tag())
		}
		if _, err := l.output(append(args, "oci:"+layout+":"+g.tag())...); err != nil {
			return err
		}
		id, err := l.podmanOutput("writer", "pull", "-q", "oci:"+layout+":"+g.tag())
		return errors.Join(err, os.WriteFile(list, []byte(id), 0o644))
	})
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(list)
	return string(b), err
}

// tag is the generation's in a registry.
func (g *generation) tag() string { return filepath.Base(g.profile) }

// update is an update of a package that nodes pull.
type update struct {
	what, pkg string
	how       revision
	limit     float64 // of the bytes on the wire, in MB
	target    string
}

// updates are the updates of the table. In the small closure, all are of one library.
// A rebuild of libc6 is not among them: Nix needs an hour for it.
var updates = []update{
	{"git rebuilt", "git", rebuilt, 0.5, "≤ 0.5 MB"}, // a leaf
	{"libxml2 rebuilt", "libxml2", rebuilt, 2.0, "≤ 2.0 MB"},
	{"libxml2 renamed", "libxml2", renamed, 0, ""},
	{"libssl3 rebuilt", "libssl3", rebuilt, 0, ""},
}

// action names the pull of an update by the writer of the images.
func (u update) action(writer string) string { return u.what + ", pulled as " + writer }

// pull pulls the image of a generation to a node with the base's. It counts the bytes on the wire.
func (l *lab) pull(writer string, g *generation) (s sample, err error) {
	storage, err := l.pushed(writer, g)
	if err != nil {
		return s, err
	}
	node := strings.ReplaceAll(writer, ":", "-")
	err = l.withWire(storage, func(repository string, w *wire) (err error) {
		pull := func(g *generation) (sample, error) {
			before := w.bytes.Load()
			s, err := l.runPodman(node, "pull", "-q", "--tls-verify=false", repository+":"+g.tag())
			s.Size = w.bytes.Load() - before
			return s, err
		}
		err = l.prepared("a node with the image written as "+writer, func() error {
			s, err := pull(l.base)
			l.logf("podman pulls %d bytes of the first image written as %s in %.2f s", s.Size, writer, s.Wall)
			return err
		})
		if err != nil {
			return err
		}
		if s, err = pull(g); err != nil {
			return err
		}
		_, err = l.podmanOutput(node, "rmi", strings.TrimPrefix(repository, "docker://")+":"+g.tag())
		return err
	})
	return s, err
}

// podmanPushes measures podman's own writer of zstd:chunked, on the base's image, into an empty registry.
func (l *lab) podmanPushes() (s sample, err error) {
	id, err := l.loaded(l.base)
	if err != nil {
		return s, err
	}
	err = l.withRegistry(l.path("out"), func(repository string) (err error) {
		s, err = l.runPodman("writer", podmanPush(id, repository+":v1")...)
		return err
	})
	return withSize(s, err, l.path("out"))
}
