package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"
)

// withRegistry runs Debian's docker-registry on a storage directory, and calls f with a repository in it.
func (l *lab) withRegistry(storage string, f func(repository string) error) (err error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		return err
	}
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"+
		"storage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %s}\n", storage, address)
	if err := os.WriteFile(l.path("registry.yml"), []byte(config), 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(l.ctx, "docker-registry", "serve", l.path("registry.yml"))
	cmd.Env = l.env
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, cmd.Process.Kill())
		_ = cmd.Wait() // killed above
	}()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			return f("docker://" + address + "/app")
		}
		if time.Now().After(end) {
			return fmt.Errorf("await docker-registry: %w", err)
		}
	}
}

// push updates an image in a registry with only that image's name: no cache, no layout.
// Each call starts with the same registry.
func (l *lab) push(g *generation) (s sample, err error) {
	image := func(profile, repository, tag string, flags ...string) []string {
		args := []string{l.program, "image", "--quiet", "--compression", compression, "--profile", profile,
			"--tls-verify=false", "--cache", l.path("cache")}
		return append(append(args, flags...), repository+":"+tag)
	}
	pushed := l.path("registry")
	err = l.prepared("an image in a registry", func() error {
		return errors.Join(l.withRegistry(pushed, func(repository string) error {
			_, err := l.run(image(l.base.profile, repository, "v1")...)
			return err
		}), l.discard("cache"))
	})
	if err != nil {
		return s, err
	}
	// Hard links suffice, since the registry never changes a blob.
	if _, err := l.output("cp", "-al", pushed, l.path("out")); err != nil {
		return s, err
	}
	err = l.withRegistry(l.path("out"), func(repository string) (err error) {
		s, err = l.run(image(g.profile, repository, "v2", "--previous", repository+":v1")...)
		return err
	})
	return s, err
}
