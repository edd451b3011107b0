package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// releaseImageName is the name of the tool's own image in its archive.
const releaseImageName = "ghcr.io/export-profile/export-profile:" + releaseVersion

// largestReleaseImage limits the compressed bytes of the tool's own image for one platform.
const largestReleaseImage = 10_000_000

// releaseImageFiles lists everything in the tool's own image.
const releaseImageFiles = `drwxr-xr-x 0 0 etc/
-r--r--r-- 0 0 etc/group
-r--r--r-- 0 0 etc/nsswitch.conf
-r--r--r-- 0 0 etc/passwd
drwxr-xr-x 0 0 etc/pki/
drwxr-xr-x 0 0 etc/pki/tls/
drwxr-xr-x 0 0 etc/pki/tls/certs/
Lrwxrwxrwx 0 0 etc/pki/tls/certs/ca-bundle.crt -> /etc/ssl/certs/ca-bundle.crt
drwxr-xr-x 0 0 etc/ssl/
drwxr-xr-x 0 0 etc/ssl/certs/
-r--r--r-- 0 0 etc/ssl/certs/ca-bundle.crt
Lrwxrwxrwx 0 0 etc/ssl/certs/ca-certificates.crt -> /etc/ssl/certs/ca-bundle.crt
drwxr-xr-x 0 0 home/
drwxr-xr-x 65532 65532 home/nonroot/
drwx------ 0 0 root/
dtrwxrwxrwx 0 0 tmp/
drwxr-xr-x 0 0 var/
dr-xr-xr-x 0 0 var/empty/
dtrwxrwxrwx 0 0 var/tmp/
drwxr-xr-x 0 0 usr/
drwxr-xr-x 0 0 usr/bin/
-rwxr-xr-x 0 0 usr/bin/export-profile
drwxr-xr-x 0 0 usr/share/
drwxr-xr-x 0 0 usr/share/doc/
drwxr-xr-x 0 0 usr/share/doc/export-profile/
-rw-r--r-- 0 0 usr/share/doc/export-profile/copyright
drwxr-xr-x 65532 65532 work/
`

// checkReleaseImage checks what the tool's own image is for, what it says, and what is in it, on each platform.
func checkReleaseImage(t *testing.T, p person, repository, out string) {
	archive := "oci-archive:" + filepath.Join(out, "export-profile-image.tar")
	blobs := readArchive(t, filepath.Join(out, "export-profile-image.tar"))
	var index ispec.Index
	decode(t, blobs["index.json"], &index)
	if len(index.Manifests) != 1 || index.Manifests[0].Annotations["io.containerd.image.name"] != releaseImageName {
		t.Fatalf("the archive holds %+v; want one image, %s", index.Manifests, releaseImageName)
	}
	printed, err := os.ReadFile(filepath.Join(out, "export-profile-image.digest"))
	if want := index.Manifests[0].Digest.String(); err != nil || string(printed) != want {
		t.Errorf("export-profile-image.digest says %q, %v; want %q", printed, err, want)
	}
	decode(t, blobs[blobName(index.Manifests[0])], &index)
	commit := strings.TrimSpace(do(t, p.command(repository, "git", "rev-parse", "HEAD")).stdout)
	said := map[string]string{"title": "export-profile", "version": releaseVersion, "revision": commit, "created": "2026-01-02T03:04:05Z",
		"source": "https://github.com/export-profile/export-profile"}
	checkSaid(t, "index", said, index.Annotations)
	var platforms []string
	for _, d := range index.Manifests {
		platforms = append(platforms, d.Platform.OS+"/"+d.Platform.Architecture)
		var m ispec.Manifest
		var config ispec.Image
		decode(t, blobs[blobName(d)], &m)
		decode(t, blobs[blobName(m.Config)], &config)
		size := d.Size + m.Config.Size
		for _, l := range m.Layers {
			size += l.Size
		}
		t.Logf("%s: %d bytes", d.Platform.Architecture, size)
		if size >= largestReleaseImage {
			t.Errorf("the image for %s has %d bytes; want less than %d", d.Platform.Architecture, size, largestReleaseImage)
		}
		checkSaid(t, d.Platform.Architecture, said, config.Config.Labels)
		if c := config.Config; c.User != "65532:65532" || strings.Join(c.Entrypoint, " ") != "/usr/bin/export-profile" || config.Architecture != d.Platform.Architecture {
			t.Errorf("the config for %s is %+v", d.Platform.Architecture, config)
		}
		if config.Created.Format("2006-01-02T15:04:05Z07:00") != said["created"] {
			t.Errorf("the image for %s was created at %v; want %s", d.Platform.Architecture, config.Created, said["created"])
		}
		checkReleaseLayers(t, out, d.Platform.Architecture, m, blobs)
		// The program starts, every certificate is still valid, and only the program's manual names store paths.
		r := do(t, p.command("/", lab.program, "check", "--platform", "linux/"+d.Platform.Architecture, archive))
		for line := range strings.Lines(r.stdout) {
			if !strings.HasPrefix(line, "warning: /usr/bin/export-profile: names ") && !strings.HasPrefix(line, "1 program in PATH, 0 errors, ") {
				t.Errorf("%v\nwarns of %s", r, line)
			}
		}
	}
	if diff := cmp.Diff([]string{"linux/amd64", "linux/arm64", "linux/riscv64"}, platforms); diff != "" {
		t.Errorf("platforms of the image (-want +got):\n%s", diff)
	}
	do(t, p.command("/", lab.program, "verify", archive))
}

func checkSaid(t *testing.T, of string, want, all map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := all["org.opencontainers.image."+name]; got != value {
			t.Errorf("%s: %s is %q; want %q", of, name, got, value)
		}
	}
	if !strings.Contains(all["org.opencontainers.image.licenses"], "MPL-2.0") {
		t.Errorf("%s: the licences lack that of the certificates: %v", of, all)
	}
}

// checkReleaseLayers checks the files of one platform: the program is that of the release, and the certificates are those of authorities.
func checkReleaseLayers(t *testing.T, out, arch string, m ispec.Manifest, blobs map[string][]byte) {
	t.Helper()
	var listed strings.Builder
	contents := make(map[string][]byte)
	for _, l := range m.Layers {
		z, err := gzip.NewReader(bytes.NewReader(blobs[blobName(l)]))
		if err != nil {
			t.Fatal(err)
		}
		for r := tar.NewReader(z); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&listed, "%v %d %d %s", h.FileInfo().Mode(), h.Uid, h.Gid, h.Name)
			if h.Linkname != "" {
				fmt.Fprintf(&listed, " -> %s", h.Linkname)
			}
			listed.WriteByte('\n')
			if contents[h.Name], err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if diff := cmp.Diff(releaseImageFiles, listed.String()); diff != "" {
		t.Errorf("files in the image for %s (-want +got):\n%s", arch, diff)
	}
	for name, file := range map[string]string{"usr/bin/export-profile": "export-profile-linux-" + arch, "usr/share/doc/export-profile/copyright": "LICENCES"} {
		if b, err := os.ReadFile(filepath.Join(out, file)); err != nil || !bytes.Equal(b, contents[name]) {
			t.Errorf("%s in the image for %s is not %s, %v", name, arch, file, err)
		}
	}
	authorities, known := 0, false
	for block, rest := pem.Decode(contents["etc/ssl/certs/ca-bundle.crt"]); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil || !c.IsCA {
			t.Errorf("certificate %d is not one of an authority: %v", authorities, err)
			continue
		}
		authorities++
		known = known || c.Subject.CommonName == "ISRG Root X1"
	}
	if authorities < 100 || !known {
		t.Errorf("the image trusts %d authorities, Let's Encrypt %v; want at least 100 with it", authorities, known)
	}
}

// readArchive reads the files of an archive.
func readArchive(t *testing.T, name string) map[string][]byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	files := make(map[string][]byte)
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		} else if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func decode(t *testing.T, b []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
}

// runReleaseImage runs the tool's own image as the manual says, as an ordinary user with a root file system that cannot be written.
func runReleaseImage(t *testing.T, out string) {
	p := lab.user
	dir := p.scratch(t)
	do(t, p.podman(dir, "load", "-q", "-i", filepath.Join(out, "export-profile-image.tar")))
	stream := filepath.Join(lab.repo, "testdata/basic.nix-export")
	do(t, p.command(dir, "cp", stream, "."))
	digest := p.export(t, dir, "image", "--from", "basic.nix-export", "oci:here:v1")

	strict := []string{"--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"}
	run := func(args ...string) string {
		t.Helper()
		return podmanRun(t, p, dir, append(strict[:len(strict):len(strict)], args...)...).stdout
	}
	if got, _, _ := strings.Cut(run(releaseImageName, "version"), "\n"); got != "export-profile "+releaseVersion {
		t.Errorf("version prints %q; want %s", got, releaseVersion)
	}
	// Its own user needs no volume: a stream goes in, an archive comes out.
	piped := in("exec <basic.nix-export >piped.tar", p.podman(dir, append(append([]string{"run", "--network=none", "--rm", "-i"}, strict...),
		releaseImageName, "image", "--from", "-", "oci-archive:-")...))
	do(t, piped)
	if got := p.export(t, dir, "verify", "oci-archive:piped.tar"); got != digest {
		t.Errorf("from a stream to an archive, the image is %s; want %s", got, digest)
	}
	// In a volume, files belong to the user who runs podman.
	if got := run("--user=0", "--volume", dir+":/work", releaseImageName, "image", "--from", "basic.nix-export", "oci:there:v1"); got != digest+"\n" {
		t.Errorf("in a volume, the image is %s; want %s", got, digest)
	}
	if got := p.export(t, dir, "verify", "oci:there:v1"); got != digest {
		t.Errorf("the image in the volume is %s; want %s", got, digest)
	}
	// A pod has no memory at /tmp, and a volume for the cache and large temporary files.
	pod := []string{"--read-only-tmpfs=false", "--tmpfs=/home/nonroot/.cache:mode=1777", "--volume", dir + ":/work:ro", releaseImageName}
	r := do(t, in("exec >pod.tar", p.podman(dir, slices.Concat([]string{"run", "--network=none", "--rm"}, strict, pod,
		[]string{"image", "--from", "basic.nix-export", "oci-archive:-"})...)))
	if got := p.export(t, dir, "verify", "oci-archive:pod.tar"); got != digest || strings.Contains(r.stderr, "without a cache") {
		t.Errorf("%v\nmakes the image %s; want %s, with a cache", r, got, digest)
	}
	// The program can be taken out of the image.
	container := strings.TrimSpace(do(t, p.podman(dir, "create", releaseImageName)).stdout)
	do(t, p.podman(dir, "cp", container+":/usr/bin/export-profile", "."))
	do(t, p.podman(dir, "rm", container))
	do(t, p.command(dir, "./export-profile", "version"))
	checkContainerJob(t, p, dir, digest)
	checkOwnAuthority(t, p, dir, out)
}

// containerJob makes an image for container jobs, and uses the program without a copy.
const containerJob = `FROM %[1]s
COPY --from=%[2]s /usr/bin/export-profile /usr/bin/
COPY --from=%[2]s /etc/ssl/certs/ca-bundle.crt /etc/ssl/certs/authorities.crt
RUN --mount=type=bind,from=%[2]s,target=/tool /tool/usr/bin/export-profile version > /version
`

// checkContainerJob makes an image with a shell and the program, and runs a step in it as GitHub's runner runs steps of a container job:
// the container runs tail, and each step is a file for sh.
func checkContainerJob(t *testing.T, p person, dir, digest string) {
	t.Helper()
	p.export(t, dir, "image", "--profile", lab.profile, "--env", "PATH=/run/profile/bin:/usr/bin", "--symlink", "/run/profile/bin/sh:/bin/sh", "oci:shell:v1")
	writeFile(t, filepath.Join(dir, "Dockerfile"), fmt.Sprintf(containerJob, "oci:"+dir+"/shell:v1", releaseImageName))
	do(t, p.command(dir, "buildah", "bud", "-q", "--isolation", "chroot", "--pull-never", "-t", "job", "."))
	writeFile(t, filepath.Join(dir, "step.sh"), "cat /version\ntest -s /etc/ssl/certs/authorities.crt\nexport-profile image --quiet --from basic.nix-export oci:job:v1\n")
	container := strings.TrimSpace(do(t, p.podman(dir, "create", "--network=none", "--volume", dir+":/__w", "--workdir", "/__w",
		"--entrypoint", "tail", "job", "-f", "/dev/null")).stdout)
	defer func() { do(t, p.podman(dir, "rm", "--force", "--time=0", container)) }()
	do(t, p.podman(dir, "start", container))
	r := do(t, p.podman(dir, "exec", "--workdir", "/__w", container, "sh", "-e", "/__w/step.sh"))
	if !strings.HasPrefix(r.stdout, "export-profile "+releaseVersion+"\n") || !strings.HasSuffix(r.stdout, "\n"+digest+"\n") {
		t.Errorf("%v\nwant version %s and %s", r, releaseVersion, digest)
	}
}

// checkOwnAuthority lets the image trust an authority, and asks its server, which wants a login. Without that, it does not trust the server.
func checkOwnAuthority(t *testing.T, p person, dir, out string) {
	t.Helper()
	address := startSecureRegistry(t, dir)
	p.export(t, dir, "image", "--no-profile", "--base", "oci-archive:"+filepath.Join(out, "export-profile-image.tar"), "--platform", "linux/amd64",
		"--ca-file", "ca.pem", "oci:trusting:v1")
	trusting := strings.TrimSpace(do(t, p.podman(dir, "pull", "-q", "oci:"+dir+"/trusting:v1")).stdout)
	for image, want := range map[string]string{releaseImageName: "--registry-ca", trusting: "podman login"} {
		r := try(t, p.podman(dir, "run", "--rm", "--network=host", "--read-only", image, "verify", "docker://"+address+"/none:v1"))
		if r.status() != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%v\nwant status 1 and %q", r, want)
		}
	}
}

// pushRelease pushes the image, and verifies it in the registry with the release's key. The manual in the program names store paths.
func pushRelease(t *testing.T, p person, repository, out string) {
	address := startRegistry(t, "")
	image := address + "/team/tool"
	r := try(t, releaseCommand(p, repository, "push", "v9.9.9", out, image))
	if want := "release: the image in " + out + " is not that of v9.9.9 and this commit"; r.status() != 1 || strings.TrimSpace(r.stderr) != want {
		t.Errorf("%v\nwant status 1 and %q", r, want)
	}
	if status, _ := registryAnswer(t, "GET", address, "team/tool/tags/list", nil); status != 404 {
		t.Errorf("a refused push left a repository: %d", status)
	}
	digest, err := os.ReadFile(filepath.Join(out, "export-profile-image.digest"))
	if err != nil {
		t.Fatal(err)
	}
	if got := release(t, p, repository, "push", releaseVersion, out, image).stdout; got != string(digest)+"\n" {
		t.Errorf("push prints %q; want %q", got, digest)
	}
	for _, at := range []string{"docker://" + image + ":" + releaseVersion, "oci-archive:" + filepath.Join(out, "export-profile-image.tar")} {
		got := do(t, p.command(repository, lab.program, "verify", "--key", ".github/release.pub", "--allow-missing", "*", at)).stdout
		if !strings.HasPrefix(got, string(digest)) {
			t.Errorf("verify %s prints %q; want first %q", at, got, digest)
		}
	}
	if b := registryCall(t, "GET", address, "team/tool/tags/list", nil); bytes.Contains(b, []byte(`"latest"`)) {
		t.Errorf("a preview is the latest version: %s", b)
	}
}
