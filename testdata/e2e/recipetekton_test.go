package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// tektonTask is a Task of Tekton, as far as the recipe uses it.
type tektonTask struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name string }
	Spec       struct {
		Description string
		Params      []struct{ Name, Type, Description string }
		Workspaces  []struct {
			Name, Description string
			Optional          bool
			ReadOnly          bool `yaml:"readOnly"`
		}
		Results []struct{ Name, Type, Description string }
		Steps   []container
		Volumes []podVolume
	}
}

// TestRecipeTekton runs the task's step with the restrictions of its pod.
func TestRecipeTekton(t *testing.T) {
	var task tektonTask
	readYAML(t, recipe("tekton.yaml"), &task)
	if task.APIVersion != "tekton.dev/v1" || task.Kind != "Task" || task.Metadata.Name == "" || len(task.Spec.Steps) != 1 {
		t.Fatalf("the task is %+v", task)
	}
	loadOwnImage(t)
	cache, registry := serveHellos(t, "one", "two", "three"), startRecipeRegistry(t)
	secret, public := signingKey(t, "images-1")
	login := registry.dockerLogin(writer, writerPassword)

	run := func(message, flag string, workspaces map[string]map[string]string) (r result, digest string, writes []string) {
		t.Helper()
		l := &podLab{lab.user, workspaces, make(map[string]string)}
		values := map[string]string{
			"params.store": cache.url, "params.store-key": cache.key, "params.profile": cache.paths[message], "params.tag": message,
			"params.image": registry.address + "/team/hello", "params.cache": registry.address + "/team/hello/cache",
			"params.cache-flags[*]": flag, // one element becomes one argument
			"results.digest.path":   "/tekton/results/digest",
		}
		for _, p := range task.Spec.Params {
			_, single := values["params."+p.Name]
			if _, array := values["params."+p.Name+"[*]"]; single != (p.Type == "string") || array != (p.Type == "array") || p.Description == "" {
				t.Errorf("the test does not know the parameter %+v", p)
			}
		}
		step := task.Spec.Steps[0]
		security := wantRestricted(t, step, nil)
		for _, v := range task.Spec.Volumes {
			l.volume(t, v, 0)
		}
		for _, w := range task.Spec.Workspaces {
			if _, ok := workspaces[w.Name]; !ok && w.Optional {
				continue
			}
			values["workspaces."+w.Name+".path"] = "/workspace/" + w.Name
			var v podVolume
			if err := yaml.Unmarshal([]byte("{name: "+w.Name+", secret: {secretName: "+w.Name+"}}"), &v); err != nil {
				t.Fatal(err)
			}
			l.volume(t, v, 0)
			step.VolumeMounts = append(step.VolumeMounts, volumeMount{w.Name, "/workspace/" + w.Name, w.ReadOnly})
		}
		l.volume(t, podVolume{Name: "tekton-results", EmptyDir: &struct{}{}}, 0)
		step.VolumeMounts = append(step.VolumeMounts, volumeMount{"tekton-results", "/tekton/results", false})
		args := step.Args
		step.Args = nil
		for _, arg := range args {
			step.Args = append(step.Args, expand(t, arg, values))
		}
		variables := make(map[string]string)
		for _, e := range step.Env {
			variables[e.Name] = expand(t, e.Value, values)
		}
		writes, _ = registry.run(func() { r = l.run(t, step, security, variables) })
		if r.status() != 0 {
			t.Fatalf("%v", r)
		}
		return r, readFile(t, filepath.Join(l.dirs["tekton-results"], "digest")), writes
	}
	sign, trust := "--cache-key-file=/workspace/key/cache.key", "--trusted-cache-key="+strings.TrimSpace(readFile(t, public))
	keys := map[string]map[string]string{"login": {"config.json": login}, "key": {"cache.key": readFile(t, secret)}}
	noKey := map[string]map[string]string{"login": {"config.json": login}}
	for _, tt := range []struct {
		message, flag    string
		workspaces       map[string]map[string]string
		minimum, maximum int
	}{
		{"one", sign, keys, 20, 100},
		{"two", sign, keys, 1, 2},
		{"three", trust, noKey, 1, 2},
	} {
		r, digest, writes := run(tt.message, tt.flag, tt.workspaces)
		wantBuilt(t, r.stderr, tt.minimum, tt.maximum)
		if pushed := checkPushed(t, registry.open, "team/hello", tt.message); pushed != digest {
			t.Errorf("the task's result is %s; the registry has %s", digest, pushed)
		}
		if wrote := slices.ContainsFunc(writes, isCacheWrite); wrote != (tt.flag == sign) {
			t.Errorf("with %s, the run wrote into the shared cache: %v", tt.flag, wrote)
		}
	}
}
