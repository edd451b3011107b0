package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestRecipeKubernetes runs the containers of both jobs with the restrictions of their pods. Each pod has an empty disk.
func TestRecipeKubernetes(t *testing.T) {
	var trusted, review kubernetesJob
	readYAML(t, recipe("kubernetes.yaml"), &trusted)
	readYAML(t, recipe("kubernetes-review.yaml"), &review)
	loadOwnImage(t)
	cache, registry := serveHellos(t, "one", "two", "three"), startRecipeRegistry(t)
	secret, public := signingKey(t, "images-1")

	// pod runs a job's containers, one after the other, and returns the results.
	pod := func(t *testing.T, job kubernetesJob, message string, secrets map[string]map[string]string) (results []result, l *podLab) {
		t.Helper()
		spec := job.Spec.Template.Spec
		if job.APIVersion != "batch/v1" || job.Kind != "Job" || job.Metadata.GenerateName == "" || spec.RestartPolicy != "Never" ||
			spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken || spec.SecurityContext == nil {
			t.Errorf("the job is %+v", job)
		}
		l = &podLab{lab.user, secrets, make(map[string]string)}
		for _, v := range spec.Volumes {
			l.volume(t, v, spec.SecurityContext.FSGroup)
		}
		for _, c := range append(spec.InitContainers, spec.Containers...) {
			r := l.run(t, c, wantRestricted(t, c, spec.SecurityContext), map[string]string{
				"STORE": cache.url, "STORE_KEY": cache.key, "PROFILE": cache.paths[message], "TAG": message,
				"IMAGE": registry.address + "/team/hello", "CACHE": registry.address + "/team/hello/cache",
				"CACHE_PUBLIC_KEY": strings.TrimSpace(readFile(t, public)),
			})
			if r.status() != 0 {
				t.Fatalf("the container %s: %v", c.Name, r)
			}
			results = append(results, r)
		}
		return results, l
	}
	trust := map[string]map[string]string{
		"image-login":     {".dockerconfigjson": registry.dockerLogin(writer, writerPassword)},
		"image-cache-key": {"cache.key": readFile(t, secret)},
	}
	for _, tt := range []struct {
		message                string
		minimum, maximum, nars int
	}{
		{"one", 20, 100, len(lab.closure) + 1},
		{"two", 1, 2, 1}, // kept layers are not fetched
	} {
		var results []result
		var traffic int64
		nars := cache.fetched(func() {
			_, traffic = registry.run(func() { results, _ = pod(t, trusted, tt.message, trust) })
		})
		wantBuilt(t, results[0].stderr, tt.minimum, tt.maximum)
		if nars > tt.nars || tt.message != "one" && traffic > 1<<20 {
			t.Errorf("%s: %d NARs were fetched, and %d bytes went to and from the registry; want %d NARs", tt.message, nars, traffic, tt.nars)
		}
		for _, tag := range []string{tt.message, "latest"} {
			if pushed := checkPushed(t, registry.open, "team/hello", tag); pushed != strings.TrimSpace(results[0].stdout) {
				t.Errorf("the container prints %s; the registry has %s as %s", results[0].stdout, pushed, tag)
			}
		}
	}

	distrust := map[string]map[string]string{"image-login": {".dockerconfigjson": registry.dockerLogin(reader, readerPassword)}}
	for message, built := range map[string]int{"two": 0, "three": 2} {
		var results []result
		var l *podLab
		var writes []string
		nars := cache.fetched(func() {
			writes, _ = registry.run(func() { results, l = pod(t, review, message, distrust) })
		})
		wantBuilt(t, results[0].stderr, min(built, 1), built)
		if len(writes) > 0 || len(results) != 3 || nars > built {
			t.Errorf("%s: the requests that write are %q, and %d NARs were fetched", message, writes, nars)
		}
		if digest := strings.TrimSpace(results[0].stdout); !strings.Contains(readFile(t, filepath.Join(l.dirs["results"], "image/index.json")), digest) {
			t.Errorf("the image %s is not in the results", digest)
		}
	}
}
