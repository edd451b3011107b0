package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/export-profile/export-profile/rootfs/staging"
)

// containerTools are the programs that load or copy images, those that run them first.
var containerTools = []string{"podman", "docker", "nerdctl", "ctr", "buildah", "skopeo", "umoci"}

// findTools looks for container tools in PATH. exec.LookPath refuses programs in the working directory.
func (d *doctor) findTools(ctx context.Context) {
	for _, name := range containerTools {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		t := foundTool{Name: name, Path: path, Usable: true}
		switch name {
		case "podman":
			d.inspectPodman(&t)
		case "docker":
			d.inspectDocker(ctx, &t)
		}
		d.Tools = append(d.Tools, t)
	}
}

const (
	toolTimeout = 5 * time.Second // a busy machine takes a while to start a program
	dialTimeout = time.Second
	maxToolSays = 4 << 10
)

// askTools asks all tools for their version at once.
func (d *doctor) askTools(ctx context.Context) {
	var group sync.WaitGroup
	for i := range d.Tools {
		group.Go(func() { d.Tools[i].Version = toolVersion(ctx, d.Tools[i].Path, toolTimeout) })
	}
	group.Wait()
}

// versionNumber matches the version in what a tool says.
var versionNumber = regexp.MustCompile(`\bv?([0-9]+\.[0-9][0-9A-Za-z.+~-]*)`)

// toolVersion asks a program for its version. It returns "" if that takes too long or fails.
func toolVersion(ctx context.Context, program string, timeout time.Duration) string {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out := &beginning{left: maxToolSays}
	cmd := exec.CommandContext(ctx, program, "--version")
	cmd.Dir, cmd.Stdout = "/", out
	cmd.WaitDelay = dialTimeout // a program that it has started may keep its output open
	if err := cmd.Run(); err != nil {
		return ""
	}
	if m := versionNumber.FindSubmatch(out.b); m != nil {
		return strings.TrimRight(string(m[1]), ".,")
	}
	return ""
}

// beginning keeps the first bytes of what is written, and accepts the rest.
type beginning struct {
	b    []byte
	left int
}

func (w *beginning) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.b, w.left = append(w.b, p[:n]...), w.left-n
	return len(p), nil
}

// inspectDocker looks for a daemon that answers on a socket of this machine.
func (d *doctor) inspectDocker(ctx context.Context, t *foundTool) {
	sockets := []string{"/run/docker.sock", "/var/run/docker.sock"}
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
		if first == nil || os.IsPermission(err) {
			first = err
		}
	}
	t.Usable = false
	t.Notes = append(t.Notes, "without a daemon")
	if d.tool("podman") != nil {
		return // podman loads images in its place
	}
	hint := "start its daemon, as in sudo systemctl start docker; or use podman, or a registry"
	if os.IsPermission(first) {
		hint = "write a file and load it as root: export-profile image … docker-archive:hello.tar && sudo docker load -i hello.tar"
	}
	d.problem(aboutTools, hint, "docker: find daemon: %v", first)
}

// inspectPodman looks at what podman needs as an ordinary user, and whether it fetches only the chunks that it lacks.
func (d *doctor) inspectPodman(t *foundTool) {
	if os.Geteuid() != 0 {
		d.checkSubordinate()
	}
	for _, file := range storageFiles() {
		b, err := staging.ReadFile(file, maxStorageFile)
		if err != nil {
			continue
		}
		if partialImages(b) {
			t.Notes = append(t.Notes, "it fetches only the chunks that it lacks (enable_partial_images)")
		}
		return
	}
}

// checkSubordinate adds a problem if this user has no subordinate IDs, without which podman unpacks few images.
func (d *doctor) checkSubordinate() {
	u, err := user.Current()
	if err != nil || u.Username == "" {
		return
	}
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		b, err := staging.ReadFile(file, maxStorageFile)
		if err != nil && !os.IsNotExist(err) {
			return
		}
		lines := "\n" + string(b)
		if !strings.Contains(lines, "\n"+u.Username+":") && !strings.Contains(lines, "\n"+u.Uid+":") {
			d.problem(aboutTools, "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "+shellWord(u.Username),
				"podman: %s has no line for %q, and podman may need one to unpack images", file, u.Username)
			return
		}
	}
}

// maxStorageFile limits podman's configuration, and /etc/subuid.
const maxStorageFile = 1 << 20

// storageFiles lists podman's configuration of its storage. The first file that exists counts.
func storageFiles() (files []string) {
	if file := os.Getenv("CONTAINERS_STORAGE_CONF"); file != "" {
		return []string{file}
	}
	if os.Geteuid() != 0 {
		if dir, err := os.UserConfigDir(); err == nil {
			files = append(files, filepath.Join(dir, "containers/storage.conf"))
		}
	}
	return append(files, "/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
}

// partialImages reports whether a storage.conf sets enable_partial_images in its pull options.
func partialImages(conf []byte) bool {
	table, on := "", false
	lines := bufio.NewScanner(bytes.NewReader(conf))
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			table = strings.Trim(line, "[] ")
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		pullOption := table == "storage.options.pull_options"
		if table == "storage.options" && strings.TrimSpace(key) == "pull_options" { // in one line
			pullOption = true
			_, value, _ = strings.Cut(value, "enable_partial_images")
			value = strings.TrimLeft(value, " =")
			key = "enable_partial_images"
		}
		if pullOption && strings.TrimSpace(key) == "enable_partial_images" {
			on = strings.HasPrefix(strings.Trim(strings.TrimSpace(value), `"'`), "true")
		}
	}
	return on
}

// String describes a tool on a line.
func (t foundTool) String() string {
	s := fmt.Sprintf("%s %s", t.Name, cmp.Or(t.Version, "of an unknown version"))
	for _, note := range t.Notes {
		s += ", " + note
	}
	return s
}
