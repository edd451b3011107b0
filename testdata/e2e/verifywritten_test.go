package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// writtenImage returns the destination of a command of export-profile, and the flags needed to read the image from there.
// at is "" for other commands, and for images that are written to a pipe.
func writtenImage(dir string, args []string) (at string, flags []string) {
	i := slices.Index(args, lab.program)
	if i < 0 || i+1 == len(args) || args[i+1] != "image" && args[i+1] != "index" {
		return "", nil
	}
	args = args[i+2:]
	for i := 0; i < len(args); i++ {
		word := args[i]
		switch {
		case word == "--registry-ca":
			flags = append(flags, word, args[i+1])
			i++
		case strings.HasPrefix(word, "--tls-verify"):
			flags = append(flags, word)
		case word == "--file":
			b, err := os.ReadFile(filepath.Join(dir, args[i+1]))
			if m := destinationLine.FindSubmatch(b); err == nil && m != nil && at == "" {
				at = string(m[1])
			}
			i++
		case slices.Contains([]string{"--from", "--base", "--previous", "--cache", "--mount-from"}, word):
			i++ // an image or a cache to read
		case imagePlace.MatchString(word) && at == "": // the arguments of index that follow are read
			at = word
		}
	}
	if strings.HasSuffix(at, ":-") {
		return "", nil
	}
	if strings.HasPrefix(at, "oci-archive:") || strings.HasPrefix(at, "docker-archive:") {
		transport, file, _ := strings.Cut(at, ":")
		file, _, _ = strings.Cut(file, ":")
		at = transport + ":" + file
	}
	return at, flags
}

var (
	imagePlace      = regexp.MustCompile(`^(oci|oci-archive|docker-archive|docker):.`)
	destinationLine = regexp.MustCompile(`(?m)^destination: (.*)$`)
	printedDigest   = regexp.MustCompile(`(?m)^sha256:[0-9a-f]{64}$`)
)

// verifiedAt records the digests that were verified, by kind of destination, to verify each only once.
var verifiedAt = make(map[string]bool)

// verifyWritten runs verify on the image that a command has written. All images of these tests pass through it.
func verifyWritten(t *testing.T, cmd *exec.Cmd, printed string) {
	t.Helper()
	at, flags := writtenImage(cmd.Dir, cmd.Args)
	if at == "" {
		return
	}
	var answer struct{ Digest string }
	digest := printedDigest.FindString(printed)
	if digest == "" && json.Unmarshal([]byte(printed), &answer) == nil {
		digest = answer.Digest
	}
	transport, _, _ := strings.Cut(at, ":")
	key := transport + " " + digest
	if digest != "" && verifiedAt[key] {
		return
	}
	verifiedAt[key] = true
	verify := exec.Command(lab.program, append([]string{"verify", "--cache", filepath.Join(cmd.Dir, ".verify"), at}, flags...)...)
	verify.Dir, verify.Env, verify.SysProcAttr = cmd.Dir, cmd.Env, cmd.SysProcAttr
	r := try(t, verify)
	if r.status() != 0 || !printedDigest.MatchString(r.stdout) {
		t.Errorf("the image written by %q does not verify: %v", cmd.Args, r)
	}
	// For an index, verify also prints the digests of its images.
	if index := slices.Contains(cmd.Args, "index"); digest != "" && !index && !slices.Contains(strings.Fields(r.stdout), digest) {
		t.Errorf("%q prints %s: %v", cmd.Args, digest, r)
	}
	if err := os.RemoveAll(filepath.Join(cmd.Dir, ".verify")); err != nil {
		t.Error(err)
	}
}

// TestWrittenImage checks that writtenImage finds the destinations of commands.
func TestWrittenImage(t *testing.T) {
	dir := lab.root.scratch(t)
	writeFile(t, dir+"/image.yaml", "profile: x\ndestination: oci:db:v1\n")
	for _, tt := range []struct{ args, want string }{
		{"image --from a oci:layout:v1", "oci:layout:v1 []"},
		{"image --base oci:base:1 --previous docker://x/y:z --cache docker://x/c oci-archive:a.tar --tag a:b", "oci-archive:a.tar []"},
		{"image docker://x/y:v1 --registry-ca ca.pem --tls-verify=false", "docker://x/y:v1 [--registry-ca ca.pem --tls-verify=false]"},
		{"image --file image.yaml", "oci:db:v1 []"},
		{"image --tag x:y docker-archive:-", " []"},
		{"index oci:multi:v1 oci:a:v1 docker://x/y:arm", "oci:multi:v1 []"},
		{"rootfs oci:x", " []"},
		{"verify oci:x", " []"},
	} {
		at, flags := writtenImage(dir, append([]string{"sh", "-c", lab.program + " x", lab.program}, strings.Fields(tt.args)...))
		if got := fmt.Sprint(at, " ", flags); got != tt.want {
			t.Errorf("writtenImage(%s) = %q; want %q", tt.args, got, tt.want)
		}
	}
}
