package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout/registry"
	"github.com/export-profile/export-profile/profile/trust"
)

// sharedCacheFlags are the keys of a cache in a registry that several machines share: --cache docker://REGISTRY/NAME.
type sharedCacheFlags struct {
	keyFile string
	trusted []string
}

func (f *sharedCacheFlags) flags(fs *pflag.FlagSet, c *cacheFlags) {
	c.shares = true
	fs.Lookup("cache").Usage = "keep the cache in `DIR` (default $XDG_CACHE_HOME/export-profile), " +
		"or share one with other machines in docker://REGISTRY/NAME; repeatable: one of each"
	fs.StringVar(&f.keyFile, "cache-key-file", "", "sign what this machine adds to a shared cache with the secret key in `FILE`, in Nix's format; without a key, nothing is added")
	fs.StringArrayVar(&f.trusted, "trusted-cache-key", nil, "trust what `KEY` has signed in a shared cache: name:base64, or a file of such keys; repeatable")
}

// shareSettings holds the parsed flags of a shared cache.
type shareSettings struct {
	at   registry.Reference
	keys registry.Keys
}

// settings parses the flags and reads the keys in them. It returns nil if no cache is shared.
func (f *sharedCacheFlags) settings(c *cacheFlags) (*shareSettings, error) {
	const example = "as in --cache docker://registry.example.com/team/cache"
	if err := c.check(); err != nil {
		return nil, err
	}
	name := c.sharedCache()
	if name == "" {
		if f.keyFile != "" || len(f.trusted) > 0 {
			return nil, usagef(example, "--cache-key-file and --trusted-cache-key need --cache docker://…")
		}
		return nil, nil
	}
	s := &shareSettings{}
	var err error
	if s.at, err = registry.ParseReference(name); err != nil {
		return nil, usagef(example, "--cache: %v", err)
	}
	if s.at.Digest != "" || s.at.Tag != "latest" || strings.HasSuffix(name, ":latest") {
		return nil, usagef(example, "--cache %q: want a repository without a tag", registryPrefix+name)
	}
	keys, err := parseTrusted("--trusted-cache-key", f.trusted)
	if err != nil {
		return nil, err
	}
	if f.keyFile != "" {
		b, err := os.ReadFile(f.keyFile)
		if err != nil {
			return nil, fmt.Errorf("read key of the cache: %w", err)
		}
		secret, err := trust.ParseSecretKey(string(b))
		if err != nil {
			return nil, withHint(fmt.Errorf("read key of the cache %q: %w", f.keyFile, err),
				"nix-store --generate-binary-cache-key NAME SECRET-FILE PUBLIC-FILE makes one")
		}
		keys = append(keys, secret.Public()) // so that this machine trusts its own records
		s.keys.Sign = secret.Sign
	}
	if len(keys) == 0 {
		return nil, usagef("name a trusted key with --trusted-cache-key NAME:BASE64, or sign with --cache-key-file FILE",
			"--cache %s%s: without a key, nothing in it is trusted", registryPrefix, name)
	}
	s.keys.Verify = keys.Verify
	return s, nil
}
