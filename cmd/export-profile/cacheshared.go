package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/ocilayout/registry"
	"github.com/export-profile/export-profile/profile/trust"
)

// sharedCacheFlags are about a cache in a registry, which several machines share: --cache docker://REGISTRY/NAME.
type sharedCacheFlags struct {
	keyFile string
	trusted []string
}

func (f *sharedCacheFlags) flags(fs *pflag.FlagSet, c *cacheFlags) {
	c.shares = true
	fs.Lookup("cache").Usage = "keep in `DIR` what the next run need not do again (default $XDG_CACHE_HOME/export-profile), " +
		"or share it with other machines in docker://REGISTRY/NAME; repeatable: one of each"
	fs.StringVar(&f.keyFile, "cache-key-file", "", "sign what is shared with the secret key in `FILE`, of Nix's form; without one, nothing is written there")
	fs.StringArrayVar(&f.trusted, "trusted-cache-key", nil, "believe what `KEY` has signed in a shared cache: name:base64, or a file of such keys; repeatable")
}

// sharedCache is a cache that several machines share, or nil. Its methods do nothing then.
type sharedCache struct {
	*registry.SharedCache
	at registry.Reference
}

// shareSettings are those of a shared cache before it is used.
type shareSettings struct {
	at   registry.Reference
	keys registry.Keys
}

// settings reads what the flags name; nil if no cache is shared.
func (f *sharedCacheFlags) settings(c *cacheFlags) (*shareSettings, error) {
	const example = "as in --cache docker://registry.example.com/team/cache"
	if err := c.check(); err != nil {
		return nil, err
	}
	name := c.sharedCache()
	if name == "" {
		if f.keyFile != "" || len(f.trusted) > 0 {
			return nil, usagef(example, "--cache-key-file and --trusted-cache-key are about a cache in a registry, and --cache names none")
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
		keys = append(keys, secret.Public()) // what this machine writes it can read
		s.keys.Sign = secret.Sign
	}
	if len(keys) == 0 {
		return nil, usagef("say whom to believe with --trusted-cache-key NAME:BASE64, or sign with --cache-key-file FILE",
			"--cache %s%s: without a key, nothing that it says is believed", registryPrefix, name)
	}
	s.keys.Verify = keys.Verify
	return s, nil
}

// open begins to use the shared cache. An unusable one only makes the run slower.
// The cache can take layers from the repository to, if it is not nil, without another upload.
func (s *shareSettings) open(ctx context.Context, r *registryFlags, to *registry.Reference, say *speaker) (*sharedCache, error) {
	if s == nil {
		return nil, nil
	}
	client, err := r.client(say)
	if err != nil {
		return nil, err
	}
	cache, err := client.SharedCache(ctx, s.at, to, s.keys)
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if err != nil {
		say.notef("without the shared cache, this takes longer: %v", err)
		return &sharedCache{at: s.at}, nil
	}
	return &sharedCache{cache, s.at}, nil
}

// serve lets a machine's own cache ask and tell the shared one.
func (s *sharedCache) serve(ctx context.Context, c *cacheFlags) {
	if s != nil && s.SharedCache != nil {
		c.ask = func(name string) []byte { return s.Fact(ctx, name) }
		c.tell = s.KeepFact
	}
}

// find says of layers what the shared cache has of them.
func (s *sharedCache) find(ctx context.Context, layers []ocilayout.Layer, z compress.Method, local *ocilayout.Cache) ([]ocilayout.Layer, error) {
	if s == nil || s.SharedCache == nil {
		return layers, nil
	}
	return s.Find(ctx, layers, z, local)
}

// voucher is what decides which layers of an image in a registry are what they say; nil where no cache is shared.
func (s *sharedCache) voucher() func(context.Context, []*ocilayout.BlobSource, map[string]string) ([]error, error) {
	switch {
	case s == nil:
		return nil
	case s.SharedCache == nil:
		return func(_ context.Context, kept []*ocilayout.BlobSource, _ map[string]string) ([]error, error) {
			return slices.Repeat([]error{errors.New("the shared cache cannot be asked")}, len(kept)), nil
		}
	}
	return s.Vouch
}

// made is for ocilayout.Options.Record.
func (s *sharedCache) made() func(context.Context, ocilayout.Record, ocilayout.Blob) {
	if s == nil || s.SharedCache == nil {
		return nil
	}
	return s.Keep
}

// finish writes what is left, and says what the cache was good for.
func (s *sharedCache) finish(ctx context.Context, say *speaker) {
	if s == nil || s.SharedCache == nil {
		return
	}
	s.WriteFacts(ctx)
	stats := s.Stats()
	say.notef("shared cache %s: %s and %s found there, %d and %d written to it", s.at.Name(),
		count(stats.Found, "layer"), count(stats.FoundFacts, "fact"), stats.Written, stats.WrittenFacts)
	if err := s.Err(); err != nil {
		say.notef("the shared cache was given up: %v", err)
	}
}
