package main

import (
	"errors"
	"os"
)

// readyRoot prepares a root filesystem for tools that need one as input.
func (l *lab) readyRoot() (string, error) {
	root := l.path("ready")
	return root, l.prepared("a root filesystem", func() error {
		_, err := l.output(l.program, "rootfs", "--quiet", "--no-cache", "--writable", "--profile", l.base.profile, root)
		return err
	})
}

func (l *lab) umoci() (sample, error) {
	root, err := l.readyRoot()
	if err != nil {
		return sample{}, err
	}
	s, err := l.script(`umoci init --layout "$2" && umoci new --image "$2:v1" && umoci insert --image "$2:v1" "$1" /`,
		root, l.path("out"))
	return withSize(s, err, l.path("out/blobs"))
}

// buildah uses its fastest storage driver that works everywhere, and writes a layout like the other tools.
func (l *lab) buildah() (sample, error) {
	root, err := l.readyRoot()
	if err != nil {
		return sample{}, err
	}
	s, err := l.script(`b() { buildah --storage-driver vfs --root "$3/root" --runroot "$3/run" "${@:4}"; }
		c=$(b "$@" from scratch)
		b "$@" copy --quiet "$c" "$1" /
		b "$@" commit --quiet --disable-compression=false "$c" "oci:$2:v1"`, root, l.path("out"), l.path("cache"))
	return withSize(s, err, l.path("out/blobs"))
}

// skopeo copies an archive of uncompressed layers, as docker save and nixpkgs' dockerTools write it.
func (l *lab) skopeo() (sample, error) {
	archive := l.path("docker.tar")
	err := l.prepared("a docker-archive", func() error {
		layout := l.path("plain")
		_, err := l.output(l.image(l.base.profile, layout, "--no-cache", "--compression", "none")...)
		if err == nil {
			_, err = l.output("skopeo", "--insecure-policy", "copy", "--quiet", "oci:"+layout+":v1", "docker-archive:"+archive)
		}
		return errors.Join(err, removeAll(layout))
	})
	if err != nil {
		return sample{}, err
	}
	s, err := l.run("skopeo", "--insecure-policy", "copy", "--quiet", "docker-archive:"+archive, "oci:"+l.path("out")+":v1")
	return withSize(s, err, l.path("out/blobs"))
}

func (l *lab) tar() (sample, error) {
	s, err := l.run("tar", "--hard-dereference", "-cf", l.path("out"), "-C", "/", "-T", l.base.list)
	return withSize(s, err, l.path("out"))
}

// rootfs writes the same root filesystem as the original script.
func (l *lab) rootfs() (sample, error) {
	s, err := l.run(l.program, "--quiet", "--profile", l.base.profile, "--cache", l.path("cache"), l.path("out"))
	return withSize(s, err, l.path("out"))
}

func (l *lab) copyStore() (sample, error) {
	if err := os.MkdirAll(l.path("out/nix/store"), 0o755); err != nil {
		return sample{}, err
	}
	s, err := l.script(`cd / && xargs -a "$1" cp -a -t "$2"`, l.base.list, l.path("out/nix/store"))
	return withSize(s, err, l.path("out"))
}

// nixImport fills a root filesystem's store like the original script.
func (l *lab) nixImport() (sample, error) {
	s, err := l.script(`sed 's|^|/|' "$1" | xargs nix-store --export | nix-store --store "$2" --import >/dev/null`,
		l.base.list, l.path("out"))
	return withSize(s, err, l.path("out/nix/store"))
}
