package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// attestKey is a secret key that another program made, with its public key as cosign reads it.
type attestKey struct {
	name   string
	secret []string // flags of export-profile
	public string   // file in PEM
	ours   string   // file for export-profile, in the form of the key's maker
}

const cosignPassword = "correct-horse"

// makeKeys makes secret keys with openssl, Nix and cosign in a directory.
func makeKeys(t *testing.T, p person, dir, cosign string) (keys []attestKey) {
	t.Helper()
	do(t, p.command(dir, "sh", "-ec", `
		openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ecdsa.pem
		openssl genpkey -algorithm ed25519 -out ed25519.pem
		for k in ecdsa ed25519; do openssl pkey -in $k.pem -pubout -out $k.pub; done`))
	secret, public := signingKey(t, "example.com-1")
	writeFile(t, filepath.Join(dir, "nix.sec"), readFile(t, secret))
	writeFile(t, filepath.Join(dir, "nix.key"), readFile(t, public))
	do(t, p.with("COSIGN_PASSWORD="+cosignPassword).command(dir, cosign, "generate-key-pair"))
	writeFile(t, filepath.Join(dir, "password"), cosignPassword+"\n")
	// cosign does not read Nix's form. The manual has this line.
	do(t, p.command(dir, "sh", "-ec", `
		(printf '\060\052\060\005\006\003\053\145\160\003\041\000'; cut -d: -f2 nix.key | base64 -d) | openssl pkey -pubin -inform DER -out nix.pub`))
	return []attestKey{
		{"ecdsa", []string{"--attest", "ecdsa.pem"}, "ecdsa.pub", "ecdsa.pub"},
		{"ed25519", []string{"--attest", "ed25519.pem"}, "ed25519.pub", "ed25519.pub"},
		{"nix", []string{"--attest", "nix.sec"}, "nix.pub", "nix.key"},
		{"cosign", []string{"--attest", "cosign.key", "--key-password-file", "password"}, "cosign.pub", "cosign.pub"},
	}
}

// referrersRegistry is a registry with the referrers API of OCI 1.1, which Debian's has not.
const referrersRegistry = `package main

import (
	"log"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	log.SetFlags(0)
	log.Fatal(http.ListenAndServe(os.Args[1], registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(os.Stderr, "", 0)))))
}
`

// startReferrersRegistry runs it until the test ends. It keeps everything in memory.
func startReferrersRegistry(t *testing.T) (address string) {
	t.Helper()
	program := goBuild(t, "registry", "github.com/google/go-containerregistry/pkg/registry", "v0.22.1", referrersRegistry)
	address = strings.Replace(freeAddress(t), "127.0.0.1", "localhost", 1)
	cmd := lab.user.command(lab.user.scratch(t), program, address)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	awaitServer(t, "tcp", address)
	return address
}

// cosignVerify returns the arguments that verify an attestation with a public key and no log.
func cosignVerify(key, predicate, image string, flags ...string) []string {
	return append([]string{"verify-attestation", "--key", key, "--insecure-ignore-tlog", "--type", predicate, image}, flags...)
}

// cosignAccepts checks that cosign accepts an attestation, and that the statement is about the image with a digest.
func cosignAccepts(t *testing.T, p person, dir, cosign, digest string, args ...string) {
	t.Helper()
	r := do(t, p.command(dir, cosign, args...))
	subjects := 0
	for line := range strings.Lines(r.stdout) {
		var envelope struct{ Payload []byte }
		var statement struct {
			PredicateType string
			Subject       []struct{ Digest map[string]string }
		}
		if json.Unmarshal([]byte(line), &envelope) != nil || json.Unmarshal(envelope.Payload, &statement) != nil {
			t.Fatalf("%v\nwant an envelope a line", r)
		}
		for _, s := range statement.Subject {
			if "sha256:"+s.Digest["sha256"] == digest && statement.PredicateType == "https://slsa.dev/provenance/v1" {
				subjects++
			}
		}
	}
	if subjects == 0 {
		t.Errorf("%v\nwant a statement about %s", r, digest)
	}
}

// refuses checks that a command fails and says why.
func refuses(t *testing.T, p person, dir, why, program string, args ...string) {
	t.Helper()
	if r := try(t, p.command(dir, program, args...)); r.status() == 0 || !strings.Contains(r.stderr, why) {
		t.Errorf("%v\nwant it to fail with %q", r, why)
	}
}

// TestCosign checks that cosign verifies our attestations in registries with and without the referrers API,
// with every kind of key, and that it refuses others.
func TestCosign(t *testing.T) {
	cosign := goTool(t, "cosign")
	p := lab.user
	dir := p.scratch(t)
	keys := makeKeys(t, p, dir, cosign)
	for _, address := range []string{startRegistry(t, ""), startReferrersRegistry(t)} {
		for _, k := range keys {
			image := address + "/team/" + k.name + ":v1"
			digest := p.export(t, dir, append(append([]string{"image", "--profile", lab.profile}, k.secret...), "docker://"+image)...)
			cosignAccepts(t, p, dir, cosign, digest, cosignVerify(k.public, "slsaprovenance1", image)...)
			cosignAccepts(t, p, dir, cosign, digest, cosignVerify(k.public, "slsaprovenance1", address+"/team/"+k.name+"@"+digest)...)
			verifies(t, p, dir, digest, "docker://"+image, "--key", k.ours)
			for _, other := range keys {
				if other.name != k.name {
					refuses(t, p, dir, "no matching attestations", cosign, cosignVerify(other.public, "slsaprovenance1", image)...)
					break
				}
			}
			refuses(t, p, dir, "none of the attestations matched the predicate type", cosign, cosignVerify(k.public, "spdxjson", image)...)
		}
	}
}

// TestCosignRefuses attaches changed attestations to an image. Neither cosign nor export-profile accepts one of them.
func TestCosignRefuses(t *testing.T) {
	cosign := goTool(t, "cosign")
	p := lab.user
	dir := p.scratch(t)
	keys := makeKeys(t, p, dir, cosign)
	address := startRegistry(t, "")
	k, stranger := keys[0], keys[1]
	var bundles [3]string
	var manifest ispec.Descriptor
	for i, args := range [][]string{k.secret, append([]string{"--env", "OTHER=1"}, k.secret...), stranger.secret} {
		layout := fmt.Sprintf("oci:layout%d:v1", i)
		digested := p.export(t, dir, append(append([]string{"image", "--profile", lab.profile}, args...), layout)...)
		bundles[i] = strings.TrimSpace(readFile(t, filepath.Join(dir, fmt.Sprintf("layout%d-v1.intoto.jsonl", i))))
		if i == 0 {
			manifest = ispec.Descriptor{MediaType: ispec.MediaTypeImageManifest, Digest: digest.Digest(digested)}
		}
	}
	manifest.Size = int64(len(readFile(t, filepath.Join(dir, "layout0", "blobs", "sha256", manifest.Digest.Encoded()))))
	payload := func(change func(string) string) string {
		var b struct{ DSSEEnvelope struct{ Payload string } }
		if err := json.Unmarshal([]byte(bundles[0]), &b); err != nil {
			t.Fatal(err)
		}
		text, err := base64.StdEncoding.DecodeString(b.DSSEEnvelope.Payload)
		if err != nil {
			t.Fatal(err)
		}
		changed := change(string(text))
		if changed == string(text) {
			t.Fatal("the change changes nothing")
		}
		return strings.Replace(bundles[0], b.DSSEEnvelope.Payload, base64.StdEncoding.EncodeToString([]byte(changed)), 1)
	}
	signature := strings.Replace(bundles[0], `"sig":"ME`, `"sig":"MF`, 1) // another length
	for name, test := range map[string]struct{ bundle, why string }{
		"unchanged":        {bundles[0], ""},
		"path-renamed":     {payload(func(s string) string { return strings.Replace(s, "-curl-", "-bash-", 1) }), "names a given key, but its signature does not verify"},
		"path-removed":     {payload(func(s string) string { return cutBetween(s, `{"name":"/nix/store/`, `{"name":"/nix/store/`) }), "names a given key, but its signature does not verify"},
		"type-changed":     {strings.Replace(bundles[0], "vnd.in-toto+json", "vnd.in-toto+JSON", 1), "the payload has type"},
		"signature-cut":    {signature, "names a given key, but its signature does not verify"},
		"another-image's":  {bundles[1], "1 by a given key about another image"},
		"another-key's":    {bundles[2], `found: 1 by key "`},
		"signed-twice":     {strings.Replace(bundles[0], `"signatures":[`, `"signatures":[{"sig":"AAAA"},`, 1), "it has 2 signatures"},
		"without-material": {cutBetween(bundles[0], `"verificationMaterial"`, `"dsseEnvelope"`), "verification material"},
	} {
		bundle := test.bundle
		repository := "team/" + strings.ReplaceAll(name, "'", "")
		image := address + "/" + repository + ":v1"
		do(t, p.command(dir, "skopeo", "copy", "-q", "--dest-tls-verify=false", "oci:layout0:v1", "docker://"+image))
		if name != "unchanged" && bundle == bundles[0] {
			t.Errorf("%s: the bundle is unchanged", name)
		}
		attachBundle(t, address, repository, manifest, bundle)
		writeFile(t, filepath.Join(dir, "bundle"), bundle)
		blobArgs := []string{"verify-blob-attestation", "--key", k.public, "--insecure-ignore-tlog", "--type", "slsaprovenance1", "--bundle", "bundle",
			"layout0/blobs/sha256/" + manifest.Digest.Encoded()}
		if name == "unchanged" {
			cosignAccepts(t, p, dir, cosign, manifest.Digest.String(), cosignVerify(k.public, "slsaprovenance1", image)...)
			do(t, p.command(dir, cosign, blobArgs...))
			verifies(t, p, dir, manifest.Digest.String(), "docker://"+image, "--key", k.public)
			verifies(t, p, dir, manifest.Digest.String(), "oci:layout0:v1", "--key", k.public, "--attestation-file", "bundle")
			continue
		}
		refuses(t, p, dir, "Error: ", cosign, cosignVerify(k.public, "slsaprovenance1", image)...)
		refuses(t, p, dir, "Error: ", cosign, blobArgs...)
		for _, args := range [][]string{{"docker://" + image}, {"oci:layout0:v1", "--attestation-file", "bundle"}} {
			if r := try(t, p.command(dir, lab.program, append([]string{"verify", "--key", k.public}, args...)...)); r.status() != 3 || !strings.Contains(r.stdout, test.why) {
				t.Errorf("%s: %v\nwant status 3 and %q", name, r, test.why)
			}
		}
	}
}

// cutBetween removes text from the first place of from up to the next one of to.
func cutBetween(s, from, to string) string {
	i := strings.Index(s, from)
	if i < 0 {
		return s
	}
	j := strings.Index(s[i+1:], to)
	if j < 0 {
		return s
	}
	return s[:i] + s[i+1+j:]
}

// attachBundle attaches a bundle to an image in a registry without the referrers API, without export-profile's code.
func attachBundle(t *testing.T, address, repository string, subject ispec.Descriptor, bundle string) {
	t.Helper()
	const mediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	layer := ispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(bundle), Size: int64(len(bundle))}
	for _, blob := range []string{bundle, "{}"} {
		pushBlob(t, address, repository, blob)
	}
	m := ispec.Manifest{MediaType: ispec.MediaTypeImageManifest, ArtifactType: mediaType, Config: ispec.DescriptorEmptyJSON, Layers: []ispec.Descriptor{layer}, Subject: &subject}
	m.SchemaVersion = 2
	put := func(tag, mediaType string, v any) ispec.Descriptor {
		t.Helper()
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		d := ispec.Descriptor{MediaType: mediaType, ArtifactType: m.ArtifactType, Digest: digest.FromBytes(b), Size: int64(len(b))}
		if tag == "" {
			tag = d.Digest.String()
		}
		r, err := http.NewRequest(http.MethodPut, "http://"+address+"/v2/"+repository+"/manifests/"+tag, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", mediaType)
		answered(t, r)
		return d
	}
	listed := put("", ispec.MediaTypeImageManifest, m)
	index := ispec.Index{MediaType: ispec.MediaTypeImageIndex, Manifests: []ispec.Descriptor{listed}}
	index.SchemaVersion = 2
	put(strings.Replace(subject.Digest.String(), ":", "-", 1), ispec.MediaTypeImageIndex, index)
}

// pushBlob uploads a blob.
func pushBlob(t *testing.T, address, repository, blob string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+address+"/v2/"+repository+"/blobs/uploads/", nil)
	if err != nil {
		t.Fatal(err)
	}
	at, err := answered(t, r).Location()
	if err != nil {
		t.Fatal(err)
	}
	query := at.Query()
	query.Set("digest", digest.FromString(blob).String())
	at.RawQuery = query.Encode()
	if r, err = http.NewRequest(http.MethodPut, at.String(), strings.NewReader(blob)); err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/octet-stream")
	answered(t, r)
}

// answered sends a request that must succeed.
func answered(t *testing.T, r *http.Request) *http.Response {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode >= 300 {
		t.Fatalf("%s %s: %s", r.Method, r.URL, answer.Status)
	}
	return answer
}

// TestCosignLayout checks what cosign verifies without a registry: the attestation beside a layout, with the manifest's file,
// and the layout that cosign itself saves from a registry.
func TestCosignLayout(t *testing.T) {
	cosign := goTool(t, "cosign")
	p := lab.user
	dir := p.scratch(t)
	k := makeKeys(t, p, dir, cosign)[1]
	digest := p.export(t, dir, append(append([]string{"image", "--profile", lab.profile}, k.secret...), "oci:layout:v1")...)
	blob := []string{"verify-blob-attestation", "--key", k.public, "--insecure-ignore-tlog", "--type", "slsaprovenance1", "--bundle", "layout-v1.intoto.jsonl"}
	manifest := "layout/blobs/sha256/" + strings.TrimPrefix(digest, "sha256:")
	if r := do(t, p.command(dir, cosign, append(blob, manifest)...)); !strings.Contains(r.stderr, "Verified OK") {
		t.Errorf("%v\nwant it to verify", r)
	}
	refuses(t, p, dir, "provided artifact digests do not match", cosign, append(blob, "layout/index.json")...)

	address := startRegistry(t, "")
	image := address + "/team/curl:v1"
	if got := p.export(t, dir, append(append([]string{"image", "--profile", lab.profile}, k.secret...), "docker://"+image)...); got != digest {
		t.Errorf("in the registry, the image is %s; want %s", got, digest)
	}
	do(t, p.command(dir, cosign, "save", "--dir", "saved", image))
	cosignAccepts(t, p, dir, cosign, digest, cosignVerify(k.public, "slsaprovenance1", "saved", "--local-image")...)
	refuses(t, p, dir, "Error: ", cosign, cosignVerify("cosign.pub", "slsaprovenance1", "saved", "--local-image")...)
}

// TestCosignBeside checks that signatures and attestations by cosign on our image do not disturb ours, nor ours theirs,
// even if both are by the same key.
func TestCosignBeside(t *testing.T) {
	cosign := goTool(t, "cosign")
	p := lab.user
	dir := p.scratch(t)
	keys := makeKeys(t, p, dir, cosign)
	q := p.with("COSIGN_PASSWORD=" + cosignPassword)
	do(t, q.command(dir, cosign, "import-key-pair", "--key", "ed25519.pem", "--output-key-prefix", "imported"))
	do(t, p.command(dir, cosign, "signing-config", "create", "--out", "offline.json")) // without a log
	writeFile(t, filepath.Join(dir, "predicate.json"), `{"buildDefinition":{"buildType":"https://example.com/other","externalParameters":{}},"runDetails":{"builder":{"id":"https://example.com"}}}`)
	for _, address := range []string{startRegistry(t, ""), startReferrersRegistry(t)} {
		for _, tt := range []struct {
			signer string // of cosign
			ours   attestKey
		}{{"cosign.key", keys[0]}, {"cosign.key", keys[3]}, {"imported.key", keys[1]}} {
			image := address + "/team/" + strings.TrimSuffix(tt.signer, ".key") + "-" + tt.ours.name + ":v1"
			digest := p.export(t, dir, append(append([]string{"image", "--profile", lab.profile}, tt.ours.secret...), "docker://"+image)...)
			offline := []string{"--yes", "--key", tt.signer, "--signing-config", "offline.json", image}
			do(t, q.command(dir, cosign, append([]string{"sign"}, offline...)...))
			for _, predicate := range []string{"slsaprovenance1", "https://example.com/predicate"} {
				do(t, q.command(dir, cosign, append([]string{"attest", "--predicate", "predicate.json", "--type", predicate}, offline...)...))
			}
			cosignAccepts(t, p, dir, cosign, digest, cosignVerify(tt.ours.public, "slsaprovenance1", image)...)
			verifies(t, p, dir, digest, "docker://"+image, "--key", tt.ours.ours)
			if tt.signer == "cosign.key" { // cosign does not verify what it signs with Ed25519
				do(t, p.command(dir, cosign, "verify", "--key", "cosign.pub", "--insecure-ignore-tlog", image))
				do(t, p.command(dir, cosign, cosignVerify("cosign.pub", "https://example.com/predicate", image)...))
			}
		}
	}
}
