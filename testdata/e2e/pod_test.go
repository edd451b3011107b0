package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// kubernetesJob is a Job of Kubernetes, as far as the recipes use it.
type kubernetesJob struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct {
		GenerateName string `yaml:"generateName"`
	}
	Spec struct {
		BackoffLimit            int `yaml:"backoffLimit"`
		TTLSecondsAfterFinished int `yaml:"ttlSecondsAfterFinished"`
		Template                struct{ Spec podSpec }
	}
}

type podSpec struct {
	RestartPolicy                string           `yaml:"restartPolicy"`
	AutomountServiceAccountToken *bool            `yaml:"automountServiceAccountToken"`
	SecurityContext              *securityContext `yaml:"securityContext"`
	InitContainers               []container      `yaml:"initContainers"`
	Containers                   []container
	Volumes                      []podVolume
}

// securityContext is that of a pod or of a container.
type securityContext struct {
	RunAsNonRoot             *bool `yaml:"runAsNonRoot"`
	RunAsUser                int   `yaml:"runAsUser"`
	RunAsGroup               int   `yaml:"runAsGroup"`
	FSGroup                  int   `yaml:"fsGroup"`
	AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
	ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
	Capabilities             struct{ Drop []string }
	SeccompProfile           struct{ Type string } `yaml:"seccompProfile"`
}

type container struct {
	Name, Image     string
	Command, Args   []string
	Env             []struct{ Name, Value string }
	SecurityContext *securityContext `yaml:"securityContext"`
	Resources       resources
	Compute         resources     `yaml:"computeResources"` // a name of Tekton
	VolumeMounts    []volumeMount `yaml:"volumeMounts"`
}

type resources struct{ Requests, Limits map[string]string }

type volumeMount struct {
	Name      string
	MountPath string `yaml:"mountPath"`
	ReadOnly  bool   `yaml:"readOnly"`
}

type podVolume struct {
	Name     string
	EmptyDir *struct{} `yaml:"emptyDir"`
	Secret   *struct {
		SecretName string `yaml:"secretName"`
		Items      []struct{ Key, Path string }
	}
}

// podLab runs containers as a pod does, with rootless podman.
type podLab struct {
	person  person
	secrets map[string]map[string]string // contents by the names of secrets and their keys
	dirs    map[string]string            // directories of this machine by the names of the pod's volumes
}

// wantRestricted checks that a container keeps to the Pod Security Standard "restricted", and to a root filesystem that it cannot write.
func wantRestricted(t *testing.T, c container, pod *securityContext) securityContext {
	t.Helper()
	if c.SecurityContext == nil {
		t.Fatalf("the container %s has no security context", c.Name)
	}
	got := *c.SecurityContext
	if pod != nil { // what a container does not say is that of its pod
		got.RunAsNonRoot, got.RunAsUser, got.RunAsGroup = pod.RunAsNonRoot, pod.RunAsUser, pod.RunAsGroup
		got.FSGroup, got.SeccompProfile = pod.FSGroup, pod.SeccompProfile
	}
	yes, no := true, false
	want := securityContext{RunAsNonRoot: &yes, RunAsUser: 65532, RunAsGroup: 65532, FSGroup: got.FSGroup, AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: true}
	want.Capabilities.Drop, want.SeccompProfile.Type = []string{"ALL"}, "RuntimeDefault"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the security context of %s (-want +got):\n%s", c.Name, diff)
	}
	return got
}

// volume makes the directory of a volume as the kubelet does.
func (l *podLab) volume(t *testing.T, v podVolume, group int) {
	t.Helper()
	if _, ok := l.dirs[v.Name]; ok {
		return
	}
	dir := filepath.Join(l.person.scratch(t), v.Name)
	l.dirs[v.Name] = dir
	if (v.EmptyDir == nil) == (v.Secret == nil) {
		t.Fatalf("the volume %+v is neither an emptyDir nor a secret", v)
	}
	if v.EmptyDir != nil {
		// The directory belongs to root in the container, and all users can write there.
		do(t, l.person.command("/", "mkdir", dir))
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		return
	}
	secret, ok := l.secrets[v.Secret.SecretName]
	if !ok {
		t.Fatalf("there is no secret %q", v.Secret.SecretName)
	}
	files := secret
	if v.Secret.Items != nil {
		files = make(map[string]string)
		for _, item := range v.Secret.Items {
			content, ok := secret[item.Key]
			if !ok {
				t.Fatalf("the secret %q has no %q", v.Secret.SecretName, item.Key)
			}
			files[item.Path] = content
		}
	}
	// The files are behind two links. Only root and the group can read them.
	if err := os.MkdirAll(filepath.Join(dir, "..2026"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		writeFile(t, filepath.Join(dir, "..2026", name), content)
		if err := os.Symlink("..data/"+name, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("..2026", filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	if err := l.person.own(dir); err != nil {
		t.Fatal(err)
	}
	if group != 0 {
		do(t, l.person.podman("/", "unshare", "sh", "-c", `chgrp -R "$1" "$2" && chmod 640 "$2"/..2026/*`, "sh", strconv.Itoa(group), dir))
	}
}

// run runs a container with the pod's restrictions and volumes.
func (l *podLab) run(t *testing.T, c container, security securityContext, variables map[string]string) result {
	t.Helper()
	args := []string{"run", "--rm", "--pull=never", "--network=host", "--read-only", "--read-only-tmpfs=false",
		"--cap-drop=" + strings.Join(security.Capabilities.Drop, ","), "--security-opt=no-new-privileges",
		"--user=" + strconv.Itoa(security.RunAsUser) + ":" + strconv.Itoa(security.RunAsGroup)}
	env := map[string]string{}
	for _, e := range c.Env {
		env[e.Name] = e.Value
		if value, ok := variables[e.Name]; ok {
			env[e.Name] = value
		} else if strings.Contains(e.Value, "example") || strings.Contains(e.Value, "…") {
			t.Fatalf("the test does not know the variable %s", e.Name)
		}
		args = append(args, "--env="+e.Name+"="+env[e.Name])
	}
	for _, m := range c.VolumeMounts {
		dir, ok := l.dirs[m.Name]
		if !ok {
			t.Fatalf("there is no volume %q", m.Name)
		}
		mode := "rw"
		if m.ReadOnly {
			mode = "ro"
		}
		args = append(args, "--volume="+dir+":"+m.MountPath+":"+mode)
	}
	entrypoint, err := json.Marshal(c.Command)
	if err != nil {
		t.Fatal(err)
	}
	args = append(args, "--entrypoint="+string(entrypoint), c.Image)
	for _, arg := range c.Args {
		args = append(args, expand(t, arg, env))
	}
	if slices.Contains(c.Command, "image") {
		args = append(args, "--debug")
	}
	return try(t, l.person.podman(l.person.home, args...))
}

var podReference = regexp.MustCompile(`\$\(([^)]*)\)`)

// expand replaces references such as $(NAME).
func expand(t *testing.T, text string, values map[string]string) string {
	t.Helper()
	return podReference.ReplaceAllStringFunc(text, func(s string) string {
		v, ok := values[s[2:len(s)-1]]
		if !ok {
			t.Fatalf("%q in %q is not known", s, text)
		}
		return v
	})
}

// loadOwnImage gives podman an image of export-profile under the name of the published one: the program and base files.
func loadOwnImage(t *testing.T) {
	t.Helper()
	p := lab.user
	dir := p.scratch(t)
	p.export(t, dir, "image", "--no-profile", "--add", lab.program+":/usr/bin/export-profile", "--user", "app:65532", "--entrypoint", "export-profile", "oci:own:v1")
	id := strings.TrimSpace(do(t, p.podman(dir, "pull", "-q", "oci:own:v1")).stdout)
	do(t, p.podman(dir, "tag", id, "ghcr.io/export-profile/export-profile:"+recipeVersion))
}
