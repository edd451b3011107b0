package main

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout/registry"
)

// registryFlags say how registries are talked to.
type registryFlags struct {
	tlsVerify  bool
	registryCA string
	mountFrom  string

	ca     []byte       // what --registry-ca has
	sent   atomic.Int64 // bytes, for progress
	shared *registry.Client
}

// pushing are the flags of commands that push.
func (f *registryFlags) pushing(fs *pflag.FlagSet) {
	f.flags(fs)
	fs.StringVar(&f.mountFrom, "mount-from", "", "mount blobs from `NAME`, another repository of the destination's registry, if it has them")
}

func (f *registryFlags) flags(fs *pflag.FlagSet) {
	fs.BoolVar(&f.tlsVerify, "tls-verify", true, "verify certificates of registries; =false accepts any, and plain HTTP")
	fs.StringVar(&f.registryCA, "registry-ca", "", "trust registries whose certificates are signed by one in `FILE` (PEM), too; for trust in the image, see --ca-file")
}

// readCA reads what --registry-ca names.
func (f *registryFlags) readCA() (err error) {
	if f.registryCA == "" || f.ca != nil {
		return nil
	}
	if f.ca, err = os.ReadFile(f.registryCA); err != nil {
		return fmt.Errorf("read certificates of registries: %w", err)
	}
	return nil
}

// client is made when a registry is first talked to.
func (f *registryFlags) client(say *speaker) (*registry.Client, error) {
	if f.shared != nil {
		return f.shared, nil
	}
	o := registry.Options{
		Insecure: !f.tlsVerify,
		Proxy:    http.ProxyFromEnvironment,
		Sent:     func(n int64) { f.sent.Add(n) },
		Retrying: say.retrying,
		Explain:  say.debugf,
	}
	var err error
	if o.AuthFiles, err = authFiles(); err != nil {
		return nil, err
	}
	if err := f.readCA(); err != nil {
		return nil, err
	}
	o.CA = f.ca
	f.shared, err = registry.New(o)
	return f.shared, err
}

// mount is what --mount-from names, or nil: a repository of the registry that is the destination.
// What --registry-ca names is read, too, before anything long is begun.
func (f *registryFlags) mount(d destination) (*registry.Reference, error) {
	if err := f.readCA(); err != nil {
		return nil, err
	}
	if f.mountFrom == "" {
		return nil, nil
	}
	const example = "as in --mount-from registry.example.com/team/other docker://registry.example.com/team/hello"
	r, err := registry.ParseReference(f.mountFrom)
	if err != nil {
		return nil, usagef(example, "--mount-from: %v", err)
	}
	if to := d.repository(); to == nil || to.Registry != r.Registry {
		return nil, usagef(example, "--mount-from: the image does not go to %s", r.Registry)
	}
	return &r, nil
}

// authFiles are the files in which podman looks for logins, in its order; docker's is the last.
func authFiles() ([]string, error) {
	if name := os.Getenv("REGISTRY_AUTH_FILE"); name != "" {
		if _, err := os.Stat(name); err != nil {
			return nil, fmt.Errorf("REGISTRY_AUTH_FILE: %w", err)
		}
		return []string{name}, nil
	}
	runtime := cmp.Or(os.Getenv("XDG_RUNTIME_DIR"), filepath.Join("/run/containers", strconv.Itoa(os.Getuid())))
	files := []string{filepath.Join(runtime, "containers/auth.json")}
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
