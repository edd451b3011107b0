package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// readYAML decodes a YAML document strictly: a key that v does not have is an error.
func readYAML(t *testing.T, file string, v any) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// action is a composite action of GitHub.
type action struct {
	Name, Description string
	Branding          map[string]string
	Inputs            map[string]struct {
		Description, Default string
		Required             bool
	}
	Outputs map[string]struct{ Description, Value string }
	Runs    struct {
		Using string
		Steps []actionStep
	}
}

// actionStep is a step of a composite action or of a job.
type actionStep struct {
	ID, Name, If, Uses, Shell, Run string
	With, Env                      map[string]string
}

// runner runs steps as a runner of GitHub does: as an ordinary user, with a disk that is new for each job.
// It knows the contexts that a test gives it, and refuses expressions with others.
type runner struct {
	person     person
	workspace  string
	temp       string            // RUNNER_TEMP
	home       string            // with the cache of export-profile
	contexts   map[string]string // such as github.sha
	secrets    []string          // texts that no output may have
	saved      map[string]string // what actions/cache saved: directories by their keys; jobs share it
	first      string            // a directory that stays the first in PATH
	path       []string          // what steps added to PATH
	afterwards []func()          // what actions do once the job has ended
	uses       map[string]func(t *testing.T, with map[string]string)
	output     strings.Builder // of all steps
}

func newRunner(t *testing.T, workspace string, contexts, saved map[string]string) *runner {
	t.Helper()
	dir := lab.user.scratch(t)
	r := &runner{workspace: workspace, temp: filepath.Join(dir, "temp"), home: filepath.Join(dir, "home"), saved: saved}
	for _, d := range []string{r.temp, r.home} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := lab.user.own(d); err != nil {
			t.Fatal(err)
		}
	}
	r.person = lab.user.with("HOME="+r.home, "XDG_RUNTIME_DIR="+r.temp, "CI=true", "GITHUB_ACTIONS=true", "RUNNER_TEMP="+r.temp, "GITHUB_WORKSPACE="+workspace)
	r.contexts = map[string]string{"runner.arch": "X64", "runner.temp": r.temp}
	for name, value := range contexts {
		r.contexts[name] = value
	}
	r.uses = map[string]func(*testing.T, map[string]string){"actions/cache@v4": r.cache}
	return r
}

// expression is a placeholder of GitHub. What is in it is a chain of comparisons with && or ||.
var expression = regexp.MustCompile(`\$\{\{\s*(.*?)\s*\}\}`)

// expand replaces the expressions in a text.
func (r *runner) expand(t *testing.T, text string) string {
	t.Helper()
	return expression.ReplaceAllStringFunc(text, func(s string) string {
		return r.evaluate(t, expression.FindStringSubmatch(s)[1])
	})
}

func (r *runner) evaluate(t *testing.T, expr string) string {
	t.Helper()
	isTrue := func(s string) bool { return s != "" && s != "false" }
	if a, b, ok := strings.Cut(expr, " || "); ok {
		if v := r.evaluate(t, a); isTrue(v) {
			return v
		}
		return r.evaluate(t, b)
	}
	if a, b, ok := strings.Cut(expr, " && "); ok {
		if v := r.evaluate(t, a); !isTrue(v) {
			return v
		}
		return r.evaluate(t, b)
	}
	for _, op := range []string{" == ", " != "} {
		if a, b, ok := strings.Cut(expr, op); ok {
			if (r.evaluate(t, a) == r.evaluate(t, b)) == (op == " == ") {
				return "true"
			}
			return "false"
		}
	}
	if expr = strings.TrimSpace(expr); strings.HasPrefix(expr, "'") {
		return strings.Trim(expr, "'")
	}
	v, ok := r.contexts[expr]
	if !ok {
		t.Fatalf("the expression %q is not known", expr)
	}
	return v
}

// steps runs steps. It returns the result of the first command that fails, or that of the last one.
func (r *runner) steps(t *testing.T, steps []actionStep, env map[string]string) (last result) {
	t.Helper()
	for _, s := range steps {
		if s.If != "" && r.evaluate(t, s.If) != "true" {
			continue
		}
		with, own := make(map[string]string), make(map[string]string)
		for name, value := range s.With {
			with[name] = r.expand(t, value)
		}
		for _, m := range []map[string]string{env, s.Env} {
			for name, value := range m {
				own[name] = r.expand(t, value)
			}
		}
		if (s.Uses == "") == (s.Run == "") {
			t.Fatalf("the step %+v needs either uses or run", s)
		}
		if s.Uses != "" {
			use, ok := r.uses[s.Uses]
			if !ok {
				t.Fatalf("the action %q is not known", s.Uses)
			}
			use(t, with)
			continue
		}
		if last = r.run(t, s, own); last.status() != 0 {
			return last
		}
	}
	return last
}

func (r *runner) run(t *testing.T, s actionStep, env map[string]string) result {
	t.Helper()
	if strings.Contains(s.Run, "${{") {
		t.Fatalf("the step %+v has an expression in its code: its value would be read as code", s)
	}
	var files []string
	p := r.person.with("PATH=" + strings.TrimPrefix(strings.Join(slices.Concat([]string{r.first}, r.path, []string{"/usr/local/bin:/usr/bin:/bin"}), ":"), ":"))
	for _, name := range []string{"GITHUB_OUTPUT", "GITHUB_PATH"} {
		f := filepath.Join(r.temp, strings.ToLower(name))
		writeFile(t, f, "")
		if err := os.Chown(f, int(p.uid), int(p.gid)); err != nil {
			t.Fatal(err)
		}
		files, p = append(files, f), p.with(name+"="+f)
	}
	for name, value := range env {
		p = p.with(name + "=" + value)
	}
	script := filepath.Join(r.temp, "step")
	writeFile(t, script, s.Run)
	args := []string{"bash", "-e", script} // without "shell", GitHub uses no pipefail
	if s.Shell == "sh" {
		args = []string{"sh", "-e", script}
	} else if s.Shell != "" {
		t.Fatalf("the step %+v has another shell", s)
	}
	got := try(t, p.command(r.workspace, args[0], args[1:]...))
	r.output.WriteString(got.stdout + got.stderr)
	for _, secret := range r.secrets {
		if strings.Contains(got.stdout+got.stderr, secret) {
			t.Errorf("%v\nprints a secret", got)
		}
	}
	for line := range strings.Lines(readFile(t, files[0])) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || s.ID == "" {
			t.Fatalf("the step %+v has the output %q", s, line)
		}
		r.contexts["steps."+s.ID+".outputs."+name] = value
	}
	r.path = append(strings.Fields(readFile(t, files[1])), r.path...)
	return got
}

// use runs a composite action of this repository, with the variables that GitHub gives it.
func (r *runner) use(t *testing.T, dir string, with map[string]string) result {
	t.Helper()
	var a action
	readYAML(t, filepath.Join(dir, "action.yml"), &a)
	if a.Name == "" || a.Description == "" || a.Runs.Using != "composite" || len(a.Runs.Steps) == 0 {
		t.Fatalf("%s is no composite action: %+v", dir, a)
	}
	for name := range with {
		if _, ok := a.Inputs[name]; !ok {
			t.Fatalf("the action has no input %q", name)
		}
	}
	for name, in := range a.Inputs {
		value, given := with[name]
		if in.Description == "" || in.Required && !given {
			t.Fatalf("the input %q is not described or not given: %+v", name, in)
		}
		if !given {
			value = r.expand(t, in.Default)
		}
		r.contexts["inputs."+name] = value
	}
	for _, s := range a.Runs.Steps {
		if s.Run != "" && s.Shell == "" {
			t.Fatalf("the step %+v of a composite action has no shell", s)
		}
	}
	last := r.steps(t, a.Runs.Steps, map[string]string{"GITHUB_ACTION_PATH": dir})
	for name, out := range a.Outputs {
		if last.status() == 0 && r.expand(t, out.Value) == "" {
			t.Errorf("the output %q of the action is empty", name)
		}
	}
	return last
}

// cache does what actions/cache does: it restores a directory, the newest one whose key begins right, and saves it after the job,
// unless something is saved under the key.
func (r *runner) cache(t *testing.T, with map[string]string) {
	t.Helper()
	key, path, newest := with["key"], with["path"], ""
	if strings.Contains(key, ",") || key == "" || path == "" || len(with) != 3 {
		t.Fatalf("actions/cache with %q", with)
	}
	prefix := with["restore-keys"]
	for k := range r.saved {
		if k == key || strings.HasPrefix(k, prefix) && newest != key && k > newest {
			newest = k
		}
	}
	tar := func(args ...string) {
		t.Helper()
		do(t, r.person.command("/", "tar", append([]string{"--posix"}, args...)...))
	}
	if newest != "" {
		do(t, r.person.command("/", "mkdir", "-p", path))
		tar("-xf", r.saved[newest], "-C", path)
	}
	if _, ok := r.saved[key]; ok {
		return
	}
	file := filepath.Join(lab.user.scratch(t), "cache.tar")
	r.afterwards = append(r.afterwards, func() {
		if _, err := os.Lstat(path); err != nil {
			return // the action only warns of it
		}
		tar("-cf", file, "-C", path, ".")
		r.saved[key] = file
	})
}

// end ends the job.
func (r *runner) end() {
	for _, f := range r.afterwards {
		f()
	}
}

// withCommand puts a program before others in the runner's PATH.
func (r *runner) withCommand(t *testing.T, name, script string) {
	t.Helper()
	dir := lab.user.scratch(t)
	writeFile(t, filepath.Join(dir, name), script)
	if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
		t.Fatal(err)
	}
	r.path = append([]string{dir}, r.path...)
}

// has tells whether a program is in the runner's PATH, as its next step would find it.
func (r *runner) has(name string) bool {
	for _, dir := range r.path {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}
