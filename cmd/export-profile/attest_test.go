package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/attestation"
	"github.com/export-profile/export-profile/profile/source"
	"github.com/export-profile/export-profile/profile/storetest"
)

// testKey is a secret key in Nix's form, and testPublic its public key.
const (
	testKey    = "test-1:NCtbr3jYd4art7/yUp7rgz2jULTh0TLXV4l8k4u79z4r4IiUd5cPMPp1oBZWilTT2J+qvgp21Lz9sGwzFWA+bA=="
	testPublic = "test-1:K+CIlHeXDzD6daAWVopU09ifqr4KdtS8/bBsMxVgPmw="
)

// TestShapingFlags checks that every flag of image is in one of the lists that say whether it is a parameter of an attestation.
func TestShapingFlags(t *testing.T) {
	lists := make(map[string]string)
	for of, list := range map[string]string{"shapingFlags": shapingFlags, "mentionedFlags": mentionedFlags, "unstatedFlags": unstatedFlags} {
		for _, name := range strings.Fields(list) {
			if lists[name] != "" {
				t.Errorf("--%s is in %s and in %s", name, lists[name], of)
			}
			lists[name] = of
		}
	}
	fs := pflag.NewFlagSet("image", pflag.ContinueOnError)
	fs.Bool("help", false, "")
	setupImage(fs)
	fs.VisitAll(func(f *pflag.Flag) {
		if (lists[f.Name] != "") == isChange(f) {
			t.Errorf("--%s is in %q: want one of the lists in attestparameters.go, unless it is a change", f.Name, lists[f.Name])
		}
		delete(lists, f.Name)
	})
	for name, of := range lists {
		t.Errorf("%s has --%s, and image has no such flag", of, name)
	}
}

// TestParameters checks that a statement with any parameters has a payload that can be read.
func TestParameters(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"", `{}`},
		{"--bare=false --max-waste 7% --healthcheck curl", `{"healthcheck":"curl","max-waste":7}`},
		{"--bare --layers-file x --ca-file x --ca-file y --tag a --quiet", `{"bare":true,"ca-file":true,"layers-file":true}`},
		{"--label b=1 --label a=<&> --label b=2", `{"label":["a=<&>","b=2"]}`},
		{"--mode /\xff=0644 --mkdir /\xff --symlink é:/x", `{"changes":["\"mkdir /\\xff\"","symlink é:/x"],"mode":["\"/\\xff=0644\""]}`},
		{`--cmd ["a","b"] --entrypoint [a`, `{"cmd":["a","b"],"entrypoint":"[a"}`},
		{"--created now", `{"created":"2024-02-29T01:02:03Z"}`},
		{`--add a\:b:/c:0644 --add -:/d/ --layer`, `{"changes":["add /c:0644","add /d/","layer"]}`},
	} {
		fs := pflag.NewFlagSet("image", pflag.ContinueOnError)
		setupImage(fs)
		if err := fs.Parse(strings.Fields(tt.args)); err != nil {
			t.Fatal(err)
		}
		var created time.Time
		if fs.Changed("created") {
			created = time.Date(2024, 2, 29, 1, 2, 3, 0, time.UTC)
		}
		s := &attestation.Statement{Kind: attestation.OfBuild, Subject: "sha256:" + strings.Repeat("0", 64), Parameters: parameters(fs, created)}
		payload, err := s.Payload()
		if err == nil {
			_, err = attestation.ParseStatement(payload)
		}
		if err != nil || !strings.Contains(string(payload), `"externalParameters":`+tt.want+`,"resolved`) {
			t.Errorf("parameters of %q: %s, %v; want %s", tt.args, payload, err, tt.want)
		}
	}
}

// forgetful is a store that does not know NAR hashes, or only wrong ones.
type forgetful struct {
	profile.Store
	hash profile.Hash
}

func (s forgetful) Info(ctx context.Context, p profile.Path) (*profile.Info, error) {
	info, err := s.Store.Info(ctx, p)
	if err != nil {
		return nil, err
	}
	forgot := *info
	forgot.NarHash, forgot.NarSize = s.hash, 0
	return &forgot, nil
}

// TestUnknownHash checks that a NAR hash that the source does not know comes from its files.
func TestUnknownHash(t *testing.T) {
	sample, err := source.Open(t.Context(), []string{storetest.File(t, "basic.nix-export")}, source.Options{SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer sample.Close()
	closure, err := profile.FindClosure(t.Context(), sample, storetest.GoldenProfile)
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []profile.Hash{{}, {1}} {
		forgot, err := profile.FindClosure(t.Context(), forgetful{sample, hash}, storetest.GoldenProfile)
		if err != nil {
			t.Fatal(err)
		}
		parts := forgot.Parts(t.Context())
		for i, info := range forgot.Infos {
			known, err := withHash(info, parts[i].Tree)
			want := closure.Infos[i]
			switch {
			case hash.Known() && (err == nil || !strings.Contains(err.Error(), want.NarHash.String())):
				t.Errorf("withHash(%q) of a wrong hash: %v; want an error with %v", info.Path, err, want.NarHash)
			case !hash.Known() && (err != nil || known.NarHash != want.NarHash || known.NarSize != want.NarSize):
				t.Errorf("withHash(%q) = %v, %v; want %v", info.Path, known, err, want)
			}
		}
	}
}

// TestPathOf checks that statements have only well-formed signatures and content addresses, in one order.
func TestPathOf(t *testing.T) {
	signature := func(name, last string) string { return name + ":" + strings.Repeat("A", 85) + last }
	info := &profile.Info{Path: storetest.GoldenProfile, CA: "fixed:md5:x",
		Signatures: []string{signature("k-2", "A=="), signature("k-1", "A"), "k-3:short", signature("k-2", "A")}}
	p := pathOf(info)
	if want := []string{signature("k-1", "A=="), signature("k-2", "A==")}; !slices.Equal(p.Signatures, want) || p.CA != "" {
		t.Errorf("pathOf has the signatures %q and the content address %q; want %q", p.Signatures, p.CA, want)
	}
	for i := range 100 {
		info.Signatures = append(info.Signatures, signature("many-"+string(rune('a'+i%26))+strings.Repeat("x", i), "A"))
	}
	if p := pathOf(info); len(p.Signatures) != 64 || !slices.IsSorted(p.Signatures) {
		t.Errorf("pathOf has %d signatures; want 64, sorted", len(p.Signatures))
	}
}

// TestIndexStatement checks that a statement about an index lists its images in order, and not BuildKit's attestations about them.
func TestIndexStatement(t *testing.T) {
	digestOf := func(c string) digest.Digest { return digest.Digest("sha256:" + strings.Repeat(c, 64)) }
	parts := []ispec.Descriptor{
		{Digest: digestOf("2"), MediaType: ispec.MediaTypeImageManifest, Platform: &ispec.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}},
		{Digest: digestOf("1"), MediaType: ocilayout.DockerImageType},
		{Digest: digestOf("3"), MediaType: ispec.MediaTypeImageManifest, Annotations: map[string]string{ocilayout.AnnotationReference: string(digestOf("1"))},
			Platform: &ispec.Platform{OS: "unknown", Architecture: "unknown"}},
	}
	s := indexStatement(ispec.Descriptor{Digest: digestOf("0")}, parts)
	want := []attestation.Part{
		{Digest: string(digestOf("2")), MediaType: ispec.MediaTypeImageManifest, Platform: "linux/arm/v7"},
		{Digest: string(digestOf("1")), MediaType: ocilayout.DockerImageType},
	}
	if _, err := s.Payload(); err != nil || !slices.Equal(s.Parts, want) {
		t.Errorf("indexStatement has the parts %v, %v; want %v", s.Parts, err, want)
	}
}
