package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// dialTimeout limits how long a daemon of this machine may take to accept a connection.
const dialTimeout = time.Second

// inspectDocker looks for a daemon that answers on a socket of this machine.
func (d *doctor) inspectDocker(ctx context.Context, t *foundTool) {
	sockets := []string{filepath.Join(d.root, "run/docker.sock"), filepath.Join(d.root, "var/run/docker.sock")}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		sockets = append(sockets, filepath.Join(dir, "docker.sock"))
	}
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		socket, ok := strings.CutPrefix(host, "unix://")
		if !ok {
			t.Notes = append(t.Notes, "with the daemon that DOCKER_HOST names")
			return
		}
		sockets = []string{socket}
	}
	var first error
	dialer := net.Dialer{Timeout: dialTimeout}
	for _, socket := range sockets {
		c, err := dialer.DialContext(ctx, "unix", socket)
		if err == nil {
			_ = c.Close()
			t.Notes = append(t.Notes, "its daemon listens on "+socket)
			return
		}
		if first == nil || errors.Is(err, fs.ErrPermission) {
			first = err
		}
	}
	t.Usable = false
	t.Notes = append(t.Notes, "without a daemon")
	if d.tool("podman") != nil {
		return // podman loads images in its place
	}
	hint := "start its daemon, as in sudo systemctl start docker; or use podman, or a registry"
	if errors.Is(first, fs.ErrPermission) {
		hint = "write a file and load it as root: export-profile image … docker-archive:hello.tar && sudo docker load -i hello.tar"
	}
	d.problem(aboutTools, hint, "docker: find daemon: %v", first)
}
