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

// sharedCacheFlags hold the keys for a shared cache, which --cache docker://REGISTRY/NAME names.
type sharedCacheFlags struct {
	keyFile string
	trusted []string
}

func (f *sharedCacheFlags) flags(fs *pflag.FlagSet, c *cacheFlags) {
	c.allowShared = true
	fs.Lookup("cache").Usage = "keep the cache in `DIR` (default $XDG_CACHE_HOME/export-profile), " +
		"or share one with other machines in docker://REGISTRY/NAME; repeatable: one of each"
	fs.StringVar(&f.keyFile, "cache-key-file", "", "sign what this machine adds to a shared cache with the secret key in `FILE`, in Nix's format; without a key, nothing is added")
	fs.StringArrayVar(&f.trusted, "trusted-cache-key", nil, "trust what `KEY` has signed in a shared cache: name:base64, or a file of such keys; repeatable")
}

// shareSettings holds the parsed flags of a shared cache.
type sharedCacheOptions struct {
	at   registry.Reference
	keys registry.Keys
}

// readOnly keeps the command from adding anything to the cache, even use notes.
func (o *sharedCacheOptions) readOnly() {
	if o != nil {
		o.keys.Sign = nil
	}
}

// parseSharedCache parses the name of a shared cache, a repository without a tag.
func parseSharedCache(name string) (at registry.Reference, err error) {
	const example = "as in --cache docker://registry.example.com/team/cache"
	if at, err = registry.ParseReference(name); err != nil {
		return at, usagef(example, "--cache: %v", err)
	}
	if at.Digest != "" || at.Tag != "latest" || strings.HasSuffix(name, ":latest") {
		return at, usagef(example, "--cache %q: want a repository without a tag", registryPrefix+name)
	}
	return at, nil
}

// settings parses the flags and reads the keys in them. It returns nil if no cache is shared.
func (f *sharedCacheFlags) settings(c *cacheFlags) (*sharedCacheOptions, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	name := c.sharedCache()
	if name == "" {
		if f.keyFile != "" || len(f.trusted) > 0 {
			return nil, usagef("as in --cache docker://registry.example.com/team/cache", "--cache-key-file and --trusted-cache-key need --cache docker://…")
		}
		return nil, nil
	}
	o := &sharedCacheOptions{}
	var err error
	if o.at, err = parseSharedCache(name); err != nil {
		return nil, err
	}
	keys, err := parseTrusted("--trusted-cache-key", f.trusted)
	if err != nil {
		return nil, err
	}
	if f.keyFile != "" {
		b, err := os.ReadFile(f.keyFile)
		if err != nil {
			return nil, inChapter("shared-cache", fmt.Errorf("read key of the cache: %w", err))
		}
		secret, err := trust.ParseSecretKey(string(b))
		if err != nil {
			return nil, inChapter("shared-cache", withHint(fmt.Errorf("read key of the cache %q: %w", f.keyFile, err),
				"nix-store --generate-binary-cache-key NAME SECRET-FILE PUBLIC-FILE makes one"))
		}
		keys = append(keys, secret.Public()) // so that this machine trusts its own records
		o.keys.Sign = secret.Sign
	}
	if len(keys) == 0 {
		return nil, inChapter("shared-cache", usagef("name a trusted key with --trusted-cache-key NAME:BASE64, or sign with --cache-key-file FILE",
			"--cache %s%s: without a key, nothing in it is trusted", registryPrefix, name))
	}
	o.keys.Verify = keys.Verify
	return o, nil
}

// sharedCache is a cache in a registry that several machines share. Methods of a nil one do nothing.
type sharedCache struct {
	*registry.SharedCache
	at registry.Reference
}

// open begins to use the shared cache. An unusable one only makes the run slower.
// The cache can take layers from the repository to, if it is not nil, without another upload.
func (o *sharedCacheOptions) open(ctx context.Context, r *registryFlags, to *registry.Reference, say *speaker) (*sharedCache, error) {
	if o == nil {
		return nil, nil
	}
	client, err := r.client(say)
	if err != nil {
		return nil, err
	}
	cache, err := client.SharedCache(ctx, o.at, to, o.keys)
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if err != nil {
		say.notef("without the shared cache, this takes longer: %v", err)
		return &sharedCache{at: o.at}, nil
	}
	return &sharedCache{cache, o.at}, nil
}

// serve connects the machine's own cache to the shared one.
func (s *sharedCache) serve(ctx context.Context, c *cacheFlags) {
	if s != nil && s.SharedCache != nil {
		c.ask = func(name string) []byte { return s.Fact(ctx, name) }
		c.tell = s.KeepFact
	}
}

// find adds to the layers the blobs that the shared cache has.
func (s *sharedCache) find(ctx context.Context, layers []ocilayout.Layer, z compress.Method, local *ocilayout.Cache) ([]ocilayout.Layer, error) {
	if s == nil || s.SharedCache == nil {
		return layers, nil
	}
	return s.Find(ctx, layers, z, local)
}

// voucher returns the function that checks signatures of a previous image's layers, or nil if no cache is shared.
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

// recorder returns the function that adds finished layers to the cache, or nil.
func (s *sharedCache) recorder() func(context.Context, ocilayout.Record, ocilayout.Blob) {
	if s == nil || s.SharedCache == nil {
		return nil
	}
	return s.Keep
}

// sharedCacheResult tells readers of JSON what a shared cache contributed, and what that cost.
type sharedCacheResult struct {
	Repository    string `json:"repository"`
	Found         int    `json:"foundLayers"`
	FoundFacts    int    `json:"foundFacts"`
	Written       int    `json:"writtenLayers"`
	WrittenFacts  int    `json:"writtenFacts"`
	Lost          int    `json:"lostLayers"`
	LookUps       int    `json:"lookUps"`
	Requests      int64  `json:"requests"`
	ReceivedBytes int64  `json:"receivedBytes"`
	SentBytes     int64  `json:"sentBytes"`
}

// finish writes the remaining facts, and notes what the cache contributed. lost is how many layers were found, but not fetched.
// It returns nil without a usable shared cache.
func (s *sharedCache) finish(ctx context.Context, say *speaker, c *cacheFlags, lost int) *sharedCacheResult {
	if s == nil || s.SharedCache == nil {
		return nil
	}
	s.WriteFacts(ctx)
	stats := s.Stats()
	say.notef("shared cache %s: %s and %s found there, %d and %d written to it; %s, %s received and %s sent", s.at.Name(),
		count(stats.Found, "layer"), count(stats.FoundFacts, "fact"), stats.Written, stats.WrittenFacts,
		count(int(stats.Requests), "request"), humanBytes(stats.Received), humanBytes(stats.Sent))
	if lost > 0 {
		say.notef("%s of the shared cache were gone or damaged when they were needed, and were made here: --debug says why", count(lost, "layer"))
	}
	if err := s.WriteErr(); err != nil {
		say.notef("nothing was written to the shared cache: %v", err)
	}
	if err := s.Err(); err != nil {
		say.notef("the shared cache failed and was not used any further: %v", err)
		var blob *ocilayout.BlobError
		if errors.As(err, &blob) && c.existing().Recheck(ctx, blob.Digest) {
			say.notef("blob %s was damaged in the cache, which has dropped it, and is damaged in this image: run the command again", blob.Digest)
		}
	}
	return &sharedCacheResult{s.at.Name(), stats.Found, stats.FoundFacts, stats.Written, stats.WrittenFacts, lost,
		stats.LookUps, stats.Requests, stats.Received, stats.Sent}
}

// countLost counts the layers that the shared cache had when they were looked up, and that were made here all the same.
// The results begin with the layers of a base image.
func countLost(layers []ocilayout.Layer, results []ocilayout.LayerResult) (n int) {
	results = results[len(results)-len(layers):]
	for i, l := range layers {
		if l.Shared != nil && results[i].How != ocilayout.Fetched {
			n++
		}
	}
	return n
}

// withoutShared forgets all blobs of the shared cache if an error says that one of them is gone, and returns how many these are.
func withoutShared(layers []ocilayout.Layer, err error) (n int) {
	var blob *ocilayout.BlobError
	if !errors.As(err, &blob) || !slices.ContainsFunc(layers, func(l ocilayout.Layer) bool {
		return l.Shared != nil && l.Shared.Descriptor.Digest == blob.Digest
	}) {
		return 0
	}
	for i := range layers {
		if layers[i].Shared != nil {
			layers[i].Shared = nil
			n++
		}
	}
	return n
}
