package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// authFiles lists the files with logins in podman's order; docker's file is the last.
func authFiles() ([]string, error) {
	if name := os.Getenv("REGISTRY_AUTH_FILE"); name != "" {
		if _, err := os.Stat(name); err != nil {
			return nil, fmt.Errorf("REGISTRY_AUTH_FILE: %w", err)
		}
		return []string{name}, nil
	}
	var files []string
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		files = append(files, filepath.Join(dir, "containers/auth.json"))
	} else {
		files = append(files, authFilesWithoutRuntime("/", os.Getuid())...)
	}
	if dir, err := os.UserConfigDir(); err == nil {
		files = append(files, filepath.Join(dir, "containers/auth.json"))
	}
	if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
		files = append(files, filepath.Join(dir, "config.json"))
	} else if home, err := os.UserHomeDir(); err == nil {
		files = append(files, filepath.Join(home, ".docker/config.json"))
	}
	return files, nil
}

// authFilesWithoutRuntime lists the files into which podman, buildah and skopeo write logins without XDG_RUNTIME_DIR,
// as in a container or after su. Without root, podman uses a directory of the user. As all users may write to /tmp,
// that directory counts only if it belongs to the user and no other user may write to it.
func authFilesWithoutRuntime(root string, uid int) []string {
	id := strconv.Itoa(uid)
	var files []string
	// If root runs podman first, it makes /run/containers for itself alone.
	file := filepath.Join(root, "run/containers", id, "auth.json")
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrPermission) {
		files = append(files, file)
	}
	if uid == 0 {
		return files
	}
	for _, dir := range []string{filepath.Join(root, "run/user", id), filepath.Join(root, "tmp/podman-run-"+id)} {
		if isPrivate(dir, uid) {
			files = append(files, filepath.Join(dir, "containers/auth.json"))
		}
	}
	return files
}

// isPrivate reports whether name is a directory, not a link to one, that only the user uid may write to.
func isPrivate(name string, uid int) bool {
	fi, err := os.Lstat(name)
	if err != nil || !fi.IsDir() || fi.Mode().Perm()&0o022 != 0 {
		return false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == uid
}
