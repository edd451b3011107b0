package main

import (
	"fmt"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout/registry"
)

// registryFlags configure the client of registries.
type registryFlags struct {
	tlsVerify  bool
	registryCA string
	mountFrom  string

	ca     []byte           // contents of --registry-ca
	sent   atomic.Int64     // bytes, for progress
	shared *registry.Client // made by the first call of client
}

// pushFlags adds the flags of commands that push.
func (f *registryFlags) pushFlags(fs *pflag.FlagSet) {
	f.flags(fs)
	fs.StringVar(&f.mountFrom, "mount-from", "", "mount blobs from `NAME`, another repository of the destination's registry, if it has them")
}

func (f *registryFlags) flags(fs *pflag.FlagSet) {
	fs.BoolVar(&f.tlsVerify, "tls-verify", true, "verify certificates of registries (the default); --tls-verify=false accepts any, and plain HTTP")
	fs.StringVar(&f.registryCA, "registry-ca", "", "trust registries whose certificates are signed by one in `FILE` (PEM), too; for trust in the image, see --ca-file")
}

// readCA reads the file of --registry-ca.
func (f *registryFlags) readCA() (err error) {
	if f.registryCA == "" || f.ca != nil {
		return nil
	}
	if f.ca, err = os.ReadFile(f.registryCA); err != nil {
		return inChapter("registries", fmt.Errorf("read certificates of registries: %w", err))
	}
	return nil
}

// client makes the client on the first call.
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

// mount returns the repository of --mount-from, which must be in the destination's registry, or nil.
// It also reads --registry-ca, so that a wrong file fails before anything that takes long.
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
