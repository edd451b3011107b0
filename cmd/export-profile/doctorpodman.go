package main

import (
	"bufio"
	"bytes"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/export-profile/export-profile/rootfs/staging"
)

// inspectPodman looks at what podman needs as an ordinary user, and whether it fetches only the chunks that it lacks.
func (d *doctor) inspectPodman(t *foundTool) {
	if os.Geteuid() != 0 {
		d.checkSubordinate()
	}
	for _, file := range storageFiles() {
		b, err := readSmall(file, maxStorageFile)
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
		b, err := readSmall(file, maxStorageFile)
		if err != nil && !os.IsNotExist(err) {
			return
		}
		if !hasSubordinate(b, u.Username, u.Uid) {
			d.problem(aboutTools, "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "+shellWord(u.Username),
				"podman: %s has no line for %q, and podman may need one to unpack images", file, u.Username)
			return
		}
	}
}

// hasSubordinate reports whether /etc/subuid has a line for a user.
func hasSubordinate(file []byte, name, uid string) bool {
	for line := range bytes.Lines(file) {
		who, ids, _ := bytes.Cut(line, []byte(":"))
		if (string(who) == name || string(who) == uid) && len(bytes.TrimSpace(ids)) > 0 {
			return true
		}
	}
	return false
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

// readSmall reads a file of at most limit bytes. It follows links, as distributions make them in /etc, and does not wait for a pipe.
func readSmall(name string, limit int64) ([]byte, error) {
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil, err
	}
	return staging.ReadFile(real, limit)
}
