package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// debianRoot makes a small root filesystem from this machine's Debian: some programs with their libraries.
const debianRoot = `set -eu
mkdir -p root/usr/bin root/usr/lib root/usr/lib64 root/etc/ssl/certs root/root root/var/cache root/home
mkdir -m 1777 root/tmp
for dir in bin lib lib64; do ln -s usr/$dir root/$dir; done
for program in bash dash cat id env ls readlink; do
	cp -L /usr/bin/$program root/usr/bin/
	for file in $(ldd /usr/bin/$program | grep -o '/[^ ]*'); do
		case $file in /usr/*) to=root$file ;; *) to=root/usr$file ;; esac
		mkdir -p "${to%/*}"
		cp -L "$file" "$to"
	done
done
ln -s dash root/usr/bin/sh
cp /usr/share/base-passwd/passwd.master root/etc/passwd
cp /usr/share/base-passwd/group.master root/etc/group
cp /etc/debian_version root/etc/
echo certificates > root/etc/ssl/certs/ca-certificates.crt
echo old > root/var/cache/gone
mkdir cache
echo new > cache/new
umoci init --layout debian
umoci new --image debian:12
umoci insert --rootless --image debian:12 root /
umoci insert --rootless --opaque --image debian:12 cache /var/cache
umoci config --image debian:12 --config.env PATH=/usr/local/bin:/usr/bin:/bin --config.cmd bash --config.workingdir /root
`

// TestBase puts a profile on a Debian image that another tool built, and checks that the programs of both run in one container.
func TestBase(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	do(t, p.command(dir, "sh", "-c", debianRoot))
	first := p.export(t, dir, "image", "--profile", lab.profile, "--base", "oci:debian:12", "--user", "app:1000", "oci:over:v1")
	if again := p.export(t, dir, "image", "--profile", lab.profile, "--base", "oci:debian:12", "--user", "app:1000", "--no-cache", "oci:debian:over"); again != first {
		t.Errorf("written to the base image's own layout without a cache, the digest is %s; want %s", again, first)
	}
	p.export(t, dir, "verify", "oci:over")
	p.export(t, dir, "verify", "oci:debian:over")
	r := do(t, p.podman(dir, "pull", "-q", "oci:over:v1"))
	do(t, p.podman(dir, "tag", strings.TrimSpace(r.stdout), "over"))

	r = podmanRun(t, p, dir, "over", "/bin/dash", "-c",
		`readlink /bin; readlink /bin/sh; /usr/bin/id -un; /bin/cat /var/cache/*; ls -d /tmp; bash -c 'echo $SSL_CERT_FILE'; pwd`)
	want := "usr/bin\ndash\napp\nnew\n/tmp\n/etc/ssl/certs/ca-bundle.crt\n/root\n"
	if r.stdout != want {
		t.Errorf("%v\nwant stdout: %s", r, want)
	}
	if r := podmanRun(t, p, dir, "over", "sh", "-c", "curl --version"); !strings.HasPrefix(r.stdout, curlVersion(t)) {
		t.Errorf("%v\nwant %q", r, curlVersion(t))
	}
	r = podmanRun(t, p, dir, "over", "/bin/cat", "/etc/passwd")
	for _, want := range []string{"daemon:", "app:x:1000:1000:"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%v\nwant an account %q", r, want)
		}
	}

	// Another image on top adds only new files.
	p.export(t, dir, "image", "--profile", lab.profile, "--base", "oci:over:v1", "--entrypoint", "curl", "oci:twice:v1")
	p.export(t, dir, "verify", "oci:twice")
	var one, two ispec.Manifest
	for name, m := range map[string]*ispec.Manifest{"over": &one, "twice": &two} {
		r := do(t, p.command(dir, "skopeo", "inspect", "--raw", "oci:"+name+":v1"))
		if err := json.Unmarshal([]byte(r.stdout), m); err != nil {
			t.Fatalf("%v: %v", r, err)
		}
	}
	if len(two.Layers) != len(one.Layers)+1 {
		t.Errorf("an image on a base with all store paths has %d layers; want %d and one of base files", len(two.Layers), len(one.Layers))
	}
}

// TestIndex checks that every tool picks its own platform's image from an index of two.
func TestIndex(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	amd64 := p.export(t, dir, "image", "--profile", lab.profile, "oci:multi:amd64")
	arm64 := p.export(t, dir, "image", "--profile", lab.objects["arm"], "oci:arm:v1")
	joined := p.export(t, dir, "index", "oci:multi:v1", "oci:arm:v1", "oci:multi:amd64")
	p.export(t, dir, "verify", "oci:multi:v1")

	r := do(t, p.command(dir, "skopeo", "inspect", "--raw", "oci:multi:v1"))
	var index ispec.Index
	if err := json.Unmarshal([]byte(r.stdout), &index); err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	if len(index.Manifests) != 2 || index.Manifests[0].Digest.String() != amd64 || index.Manifests[1].Digest.String() != arm64 {
		t.Errorf("%v\nwant %s and %s", r, amd64, arm64)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		r := do(t, p.command(dir, "skopeo", "--override-arch", arch, "inspect", "--config", "oci:multi:v1"))
		var config ispec.Image
		if err := json.Unmarshal([]byte(r.stdout), &config); err != nil || config.Architecture != arch {
			t.Errorf("%v\nwant architecture %s (%v)", r, arch, err)
		}
	}
	do(t, p.command(dir, "skopeo", "copy", "-q", "--all", "oci:multi:v1", "oci:copied:v1"))
	if p.export(t, dir, "index", "oci:copied:again", "oci:copied:v1") != joined {
		t.Errorf("a copy of the index does not have the digest %s", joined)
	}

	r = do(t, p.podman(dir, "pull", "-q", "oci:multi:v1"))
	do(t, p.podman(dir, "tag", strings.TrimSpace(r.stdout), "multi"))
	if r := podmanRun(t, p, dir, "multi", "curl", "--version"); !strings.HasPrefix(r.stdout, curlVersion(t)) {
		t.Errorf("%v\nwant %q", r, curlVersion(t))
	}
}
