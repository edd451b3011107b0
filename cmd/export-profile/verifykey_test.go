package main

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/attestation"
	"github.com/export-profile/export-profile/profile/storetest"
)

// attestedSample is a closure whose files mention its store paths, and nothing else. The key signer-1 has signed all paths.
func attestedSample(t testing.TB) (s *storetest.Sample, nixKey string) {
	t.Helper()
	lib, app := string(storetest.PathOf("lib")), string(storetest.PathOf("app"))
	s = storetest.New("attested")
	s.Add(t, "lib", "lib", "d .", "f 0444 lib.so RPATH "+lib+"/lib", "l self "+lib)
	s.Add(t, "data", "", "f 0444 . /nix/store/eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee-gone")
	s.Add(t, "app", "lib data", "d .", "d bin", "f 0555 bin/app #!"+lib+"/bin/sh\n"+app, "l data "+string(storetest.PathOf("data")))
	return s.Signed("signer-1")
}

// seededPEM returns a secret key made of a seed.
func seededPEM(t testing.TB, seed byte) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// seededKey returns a secret key made of a seed, and its public key in PEM.
func seededKey(t testing.TB, seed byte) (secret *attestation.SecretKey, public []byte) {
	t.Helper()
	secret, err := attestation.ParseSecretKey(seededPEM(t, seed), nil)
	if err != nil {
		t.Fatal(err)
	}
	return secret, secret.Public().PEM()
}

// attested is an image with statements about it.
type attested struct {
	testImage
	sample *storetest.Sample
	key    *attestation.SecretKey
	lines  []string // bundles
}

// statement returns the true statement about the image.
func (p *attested) statement() *attestation.Statement {
	s := &attestation.Statement{Kind: attestation.OfBuild, Name: "app", Subject: p.index.Manifests[0].Digest.String(),
		Parameters: map[string]any{"entrypoint": []any{"app"}}}
	for _, info := range p.sample.Infos {
		s.Paths = append(s.Paths, attestation.Path{Path: info.Path, NarHash: info.NarHash, NarSize: info.NarSize,
			References: info.References, Signatures: info.Signatures})
	}
	return s
}

// path returns a path in a statement.
func pathIn(s *attestation.Statement, name string) *attestation.Path {
	return &s.Paths[slices.IndexFunc(s.Paths, func(p attestation.Path) bool { return p.Path.Name() == name })]
}

// sign adds a bundle, signed by the key or by another one.
func (p *attested) sign(payload []byte, by ...*attestation.SecretKey) {
	p.t.Helper()
	b, err := append(by, p.key)[0].Sign(payload)
	p.must(err)
	p.lines = append(p.lines, string(b))
}

func (p *attested) state(s *attestation.Statement, by ...*attestation.SecretKey) {
	p.t.Helper()
	payload, err := s.Payload()
	p.must(err)
	p.sign(payload, by...)
}

// change changes a copy of the true statement, and signs it.
func (p *attested) change(f func(s *attestation.Statement), by ...*attestation.SecretKey) {
	p.t.Helper()
	s := p.statement()
	f(s)
	p.state(s, by...)
}

// attestedImage writes an image with one layer for each path.
func attestedImage(t *testing.T) (dir string, sample *storetest.Sample, nixKey string) {
	t.Helper()
	sample, nixKey = attestedSample(t)
	dir = filepath.Join(t.TempDir(), "image")
	if out, status := verifyRun(t, "image", "--quiet", "--no-cache", "--layers", "per-path", "--platform", "linux/amd64", "--no-check-sigs",
		"--from", sample.WriteCache(t, "none"), "--profile", string(sample.Root), "oci:"+dir); status != 0 {
		t.Fatal(out)
	}
	return dir, sample, nixKey
}

const examplePath = "/nix/store/0c1p5z4kda11zza9v4r1k2jjr3fa9v4s-example-1.0"

var statementFaults = []struct {
	name  string
	plant func(*attested)
	flags []string
	want  []string // a part of each line
}{
	{name: "none", plant: func(p *attested) { p.state(p.statement()) }},
	{name: "none: of a finished image", plant: func(p *attested) {
		p.change(func(s *attestation.Statement) { s.Kind, s.Parameters = attestation.OfContents, nil })
	}},
	{name: "none: required key", plant: func(p *attested) { p.state(p.statement()) }, flags: []string{"--require-signed-by", "NIXKEY"}},
	{name: "no attestation", plant: func(p *attested) {}, want: []string{"no statement about it is signed by a given key: no attestation was found"}},
	{name: "another key", plant: func(p *attested) { other, _ := seededKey(p.t, 2); p.state(p.statement(), other) },
		want: []string{`is signed by a given key; found: 1 by key "`}},
	{name: "another program", plant: func(p *attested) {
		p.sign([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"https://spdx.dev/Document","predicate":{}}`))
	}, want: []string{"1 by a given key, but not about store paths"}},
	{name: "none: another program's, another key's and no bundle, too", plant: func(p *attested) {
		other, _ := seededKey(p.t, 2)
		p.state(p.statement())
		p.change(func(s *attestation.Statement) { s.Paths = s.Paths[1:] }, other)
		p.sign([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"https://spdx.dev/Document","predicate":{}}`))
		p.lines = append(p.lines, `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","messageSignature":{}}`, "not JSON")
	}},
	{name: "replayed", plant: func(p *attested) {
		p.change(func(s *attestation.Statement) { s.Subject = digest.FromString("old").String() })
	}, want: []string{"1 by a given key about another image, " + digest.FromString("old").String()}},
	{name: "none: replayed beside a true one", plant: func(p *attested) {
		p.change(func(s *attestation.Statement) { s.Subject, s.Paths = digest.FromString("old").String(), s.Paths[:1] })
		p.state(p.statement())
	}},
	{name: "contradiction", plant: func(p *attested) {
		p.state(p.statement())
		p.change(func(s *attestation.Statement) { pathIn(s, "lib").NarHash[0] ^= 1 })
	}, want: []string{"but the statement says "}},
	{name: "malformed", plant: func(p *attested) {
		b, err := p.statement().Payload()
		p.must(err)
		p.sign(bytes.Replace(b, []byte(`"narSize":`), []byte(`"narSize": `), 1))
	}, want: []string{`but cannot be understood: read statement: it is not written as this program writes it`}},
	{name: "malformed beside a true one", plant: func(p *attested) {
		b, err := p.statement().Payload()
		p.must(err)
		p.state(p.statement())
		p.sign(bytes.Replace(b, []byte(`"narSize":`), []byte(`"narSize": `), 1))
	}, want: []string{`but cannot be understood`}},
	{name: "index statement about an image", plant: func(p *attested) {
		p.change(func(s *attestation.Statement) { s.Kind, s.Paths, s.Parameters = attestation.OfIndex, nil, nil })
	}, want: []string{"the statement is about an index, but this is an image"}},
	{name: "path missing in the statement", plant: func(p *attested) {
		p.change(func(s *attestation.Statement) {
			s.Paths = slices.DeleteFunc(s.Paths, func(p attestation.Path) bool { return p.Path.Name() == "data" })
		})
	}, want: []string{`-data": is in the image, but the statement does not list it`, `refers to "`, `-app/data": mentions "`}},
	{name: "path missing in the image", plant: func(p *attested) {
		p.change(func(s *attestation.Statement) {
			s.Paths = append(s.Paths, attestation.Path{Path: examplePath, NarHash: profile.Hash{1}, NarSize: 120})
			slices.SortFunc(s.Paths, func(a, b attestation.Path) int { return strings.Compare(string(a.Path), string(b.Path)) })
		})
	}, want: []string{`-example-1.0": is not in the image, but the statement lists it`}},
	{name: "another size", plant: func(p *attested) {
		p.change(func(s *attestation.Statement) { pathIn(s, "data").NarSize++ })
	}, want: []string{`-data": its NAR has `}},
	{name: "changed, says the statement", plant: func(p *attested) {
		p.change(func(s *attestation.Statement) {
			d := pathIn(s, "data")
			*d = attestation.Path{Path: d.Path, Changed: true}
		})
	}, want: []string{`-data": was changed on purpose, says the statement, but the image's history does not`}},
	{name: "changed, says the history", plant: func(p *attested) {
		h := &p.config.History[p.layer("-data")]
		h.Comment = h.Comment[:strings.IndexByte(h.Comment, '@')] + h.Comment[strings.LastIndexByte(h.Comment, ':'):] + ":changed"
		p.save()
		p.state(p.statement())
	}, want: []string{`-data": was changed on purpose, says the image's history, but the statement does not`}},
	{name: "none: changed, say both", plant: func(p *attested) {
		h := &p.config.History[p.layer("-data")]
		h.Comment = h.Comment[:strings.IndexByte(h.Comment, '@')] + h.Comment[strings.LastIndexByte(h.Comment, ':'):] + ":changed"
		p.save()
		p.change(func(s *attestation.Statement) {
			d := pathIn(s, "data")
			*d = attestation.Path{Path: d.Path, Changed: true}
		})
	}},
	{name: "reference to a path that is not listed", plant: func(p *attested) {
		p.change(func(s *attestation.Statement) { pathIn(s, "data").References = []profile.Path{examplePath} })
	}, want: []string{`-data": refers to "0c1p5z4kda11zza9v4r1k2jjr3fa9v4s-example-1.0", says the statement`}},
	{name: "mention", plant: func(p *attested) { p.mention(); p.state(p.statement()) },
		want: []string{`-data": mentions "0c1p5z4kda11zza9v4r1k2jjr3fa9v4s-example-1.0", which the statement does not list`}},
	{name: "none: allowed mention", plant: func(p *attested) { p.mention(); p.state(p.statement()) }, flags: []string{"--allow-missing", "*-example-1.0"}},
	{name: "none: allowed mention, by name", plant: func(p *attested) { p.mention(); p.state(p.statement()) },
		flags: []string{"--allow-missing", "x", "--allow-missing", "0c1p5z4kda11zza9v4r1k2jjr3fa9v4s-example-1.0"}},
	{name: "mention in a base file", plant: func(p *attested) {
		p.foreign(regular("etc/motd", "see "+examplePath+"/doc"), tarFile{Header: link("srv/x", examplePath)}, regular("srv/y", "/nix/store/eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee-x"))
		p.state(p.statement())
	}, want: []string{`"etc/motd": mentions "0c1p5z4kda11zza9v4r1k2jjr3fa9v4s-example-1.0"`}},
	{name: "mention in the config", plant: func(p *attested) {
		p.config.Config.Entrypoint, p.config.Config.Labels = []string{"/bin/sh", examplePath + "/bin/x"}, map[string]string{"of " + string(p.sample.Root): "x"}
		p.save()
		p.state(p.statement())
	}, want: []string{`its config mentions "0c1p5z4kda11zza9v4r1k2jjr3fa9v4s-example-1.0", which the statement does not list`}},
	{name: "another program's layer has a store path", plant: func(p *attested) {
		p.foreign(regular(examplePath[1:], "x"))
		p.state(p.statement())
	}, want: []string{`-example-1.0": is in the image, but the statement does not list it`}},
	{name: "none: another program's layer has a listed store path", plant: func(p *attested) {
		p.foreign(regular(examplePath[1:], "x"))
		p.change(func(s *attestation.Statement) {
			info := storetest.New("x")
			info.Add(p.t, "example", "", "f 0444 . x")
			s.Paths = append(s.Paths, attestation.Path{Path: examplePath, NarHash: info.Infos[0].NarHash, NarSize: info.Infos[0].NarSize})
			slices.SortFunc(s.Paths, func(a, b attestation.Path) int { return strings.Compare(string(a.Path), string(b.Path)) })
		})
	}},
	{name: "another program's layer has another file in the store", plant: func(p *attested) {
		p.foreign(regular("nix/store/.links", "x"))
		p.state(p.statement())
	}, want: []string{`"nix/store/.links": is in the image, but the statement does not list it`}},
	{name: "not signed by the required key", plant: func(p *attested) {
		p.change(func(s *attestation.Statement) {
			d := pathIn(s, "data")
			d.Signatures, d.CA = nil, "fixed:sha256:0c1p5z4kda11zza9v4r1k2jjr3fa9v4s"
		})
	}, flags: []string{"--require-signed-by", "NIXKEY"},
		want: []string{`-data": is signed by no required key: it has no signature; it has a content address, which is no signature`}},
	{name: "another Nix key of the same name", plant: func(p *attested) { p.state(p.statement()) },
		flags: []string{"--require-signed-by", "signer-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="},
		want:  []string{`is signed by no required key: the signature of key "signer-1" does not verify (and 2 more like it)`}},
	{name: "layer changed", plant: func(p *attested) {
		p.state(p.statement())
		p.damage(p.blob(p.manifest.Layers[0].Digest))
	}, want: []string{"read layer", "has the digest", "is not in the image"}},
	{name: "content changed, and the history", plant: func(p *attested) {
		s := p.statement()
		p.editFile("-lib", "lib.so", func(f *tarFile) { f.content[0] ^= 1 })
		h := &p.config.History[p.layer("-lib")]
		h.Comment = h.Comment[:strings.IndexByte(h.Comment, '@')] + h.Comment[strings.LastIndexByte(h.Comment, ':'):]
		p.save()
		s.Subject = p.index.Manifests[0].Digest.String()
		p.state(s)
	}, want: []string{`-lib": its NAR hash is `}},
}

// mention changes the content of the object data, and all that depends on it, so that it mentions examplePath.
func (p *attested) mention() {
	p.editFile("-data", "-data", func(f *tarFile) { f.content = []byte("see " + examplePath + "/doc") })
	changed := storetest.New("x")
	changed.Add(p.t, "data", "", "f 0444 . see "+examplePath+"/doc")
	info := changed.Infos[0]
	at := slices.IndexFunc(p.sample.Infos, func(i *profile.Info) bool { return i.Path.Name() == "data" })
	p.sample = &storetest.Sample{Infos: slices.Clone(p.sample.Infos)}
	p.sample.Infos[at] = info
	h := &p.config.History[p.layer("-data")]
	h.Comment = info.Path.Base() + "@" + info.NarHash.Hex()[:12] + ":" + strconv.FormatInt(info.NarSize, 10)
	p.save()
}

func link(name, target string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}
}

// TestVerifyStatementFaults checks that each fault of a statement or an image is found, and reported with its place.
func TestVerifyStatementFaults(t *testing.T) {
	original, sample, nixKey := attestedImage(t)
	key, public := seededKey(t, 1)
	keyFile := filepath.Join(t.TempDir(), "key.pub")
	if err := os.WriteFile(keyFile, public, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range statementFaults {
		t.Run(tt.name, func(t *testing.T) {
			p := &attested{testImage: testImage{t: t, dir: filepath.Join(t.TempDir(), "image")}, sample: sample, key: key}
			p.must(os.CopyFS(p.dir, os.DirFS(original)))
			p.load()
			tt.plant(p)
			if p.lines != nil {
				p.must(os.WriteFile(p.dir+".intoto.jsonl", []byte(strings.Join(p.lines, "\n")), 0o600))
			}
			args := append([]string{"verify", "--key", keyFile, "oci:" + p.dir}, tt.flags...)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "NIXKEY", nixKey)
			}
			out, status := verifyRun(t, args...)
			want := 3
			if len(tt.want) == 0 {
				want, tt.want = 0, []string{"sha256:"}
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if status != want || len(lines) != len(tt.want) {
				t.Fatalf("exit status %d with %d lines; want %d with %d:\n%s", status, len(lines), want, len(tt.want), out)
			}
			for i, w := range tt.want {
				if !strings.Contains(lines[i], w) {
					t.Errorf("problem %d is\n%s\nwant\n%s", i+1, lines[i], w)
				}
			}
		})
	}
}
