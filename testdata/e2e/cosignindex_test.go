package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestCosignAttest attests a finished image that other programs have copied. Both ways of attesting say the same about its files.
func TestCosignAttest(t *testing.T) {
	cosign := goTool(t, "cosign")
	p := lab.user
	dir := p.scratch(t)
	keys := makeKeys(t, p, dir, cosign)
	k, other := keys[3], keys[0]
	digest := p.export(t, dir, "image", "--profile", lab.profile, "oci:layout:v1")
	for _, address := range []string{startRegistry(t, ""), startReferrersRegistry(t)} {
		image := address + "/team/curl:v1"
		do(t, p.command(dir, "skopeo", "copy", "-q", "--dest-tls-verify=false", "oci:layout:v1", "docker://"+image))
		refuses(t, p, dir, "export-profile attest --key KEY", lab.program, "verify", "--key", k.public, "docker://"+image)
		secret := append([]string{"attest", "docker://" + image, "--key"}, k.secret[1:]...)
		for range 2 { // attesting again changes nothing
			if got := p.export(t, dir, secret...); got != digest {
				t.Errorf("attest prints %q; want %s", got, digest)
			}
		}
		cosignAccepts(t, p, dir, cosign, digest, cosignVerify(k.public, "slsaprovenance1", image)...)
		verifies(t, p, dir, digest, "docker://"+image, "--key", k.ours)
		refuses(t, p, dir, "no matching attestations", cosign, cosignVerify(other.public, "slsaprovenance1", image)...)
		// A second holder of a key attests the same image. Each of the two is enough.
		p.export(t, dir, append([]string{"attest", "docker://" + image, "--key"}, other.secret[1:]...)...)
		for _, k := range []attestKey{k, other} {
			cosignAccepts(t, p, dir, cosign, digest, cosignVerify(k.public, "slsaprovenance1", image)...)
			verifies(t, p, dir, digest, "docker://"+image, "--key", k.ours)
		}
	}
}

// TestCosignIndex joins attested images from one registry into an index in another one.
// cosign verifies the index and both images there, and also its own signatures, which come along.
func TestCosignIndex(t *testing.T) {
	cosign := goTool(t, "cosign")
	p := lab.user
	dir := p.scratch(t)
	keys := makeKeys(t, p, dir, cosign)
	k := keys[1]
	q := p.with("COSIGN_PASSWORD=" + cosignPassword)
	do(t, p.command(dir, cosign, "signing-config", "create", "--out", "offline.json")) // without a log
	tagged, api := startRegistry(t, ""), startReferrersRegistry(t)
	for _, r := range []struct{ from, to string }{{tagged, api}, {api, tagged}} {
		var parts []string
		for name, profile := range map[string]string{"amd64": lab.profile, "arm64": lab.objects["arm"]} {
			image := r.from + "/parts/curl:" + name
			parts = append(parts, p.export(t, dir, append([]string{"image", "--profile", profile, "docker://" + image}, k.secret...)...))
			do(t, q.command(dir, cosign, "sign", "--yes", "--key", "cosign.key", "--signing-config", "offline.json", image))
		}
		slices.Sort(parts)
		index := r.to + "/team/curl:v1"
		joined := p.export(t, dir, append([]string{"index", "docker://" + index, "docker://" + r.from + "/parts/curl:amd64", "docker://" + r.from + "/parts/curl:arm64"}, k.secret...)...)
		joined, _, _ = strings.Cut(joined, "\n")
		var listed []string
		var m ispec.Index
		raw := do(t, p.command(dir, "skopeo", "inspect", "--raw", "--tls-verify=false", "docker://"+index))
		if err := json.Unmarshal([]byte(raw.stdout), &m); err != nil {
			t.Fatalf("%v: %v", raw, err)
		}
		for _, d := range m.Manifests {
			listed = append(listed, d.Digest.String())
		}
		if slices.Sort(listed); !slices.Equal(listed, parts) {
			t.Errorf("the index lists %q; want %q", listed, parts)
		}
		cosignAccepts(t, p, dir, cosign, joined, cosignVerify(k.public, "slsaprovenance1", index)...)
		for _, part := range parts {
			image := r.to + "/team/curl@" + part
			cosignAccepts(t, p, dir, cosign, part, cosignVerify(k.public, "slsaprovenance1", image)...)
			do(t, p.command(dir, cosign, "verify", "--key", "cosign.pub", "--insecure-ignore-tlog", image))
		}
		refuses(t, p, dir, "no matching attestations", cosign, "verify", "--key", "cosign.pub", "--insecure-ignore-tlog", index)
		got := strings.Fields(p.export(t, dir, "verify", "--key", k.ours, "docker://"+index))
		slices.Sort(got)
		want := append(parts, joined)
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("verify prints %q; want %q", got, want)
		}
		refuses(t, p, dir, "problem", lab.program, "verify", "--key", "cosign.pub", "docker://"+index)
	}
}
