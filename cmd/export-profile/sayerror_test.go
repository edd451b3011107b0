package main

import (
	"context"
	_ "embed" // the schema
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/export-profile/export-profile/profile/storetest"
)

//go:embed messages.schema.json
var messageSchemaText string

var messageSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(messageSchemaText))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("messages.schema.json", doc); err != nil {
		return nil, err
	}
	return compiler.Compile("messages.schema.json")
})

// messages returns what a command with --json writes to standard error, as it would be without --json.
// Each line must follow the schema, and an error must come last.
func messages(t testing.TB, stderr string) string {
	t.Helper()
	schema, err := messageSchema()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	failed := false
	for line := range strings.Lines(stderr) {
		var object map[string]json.RawMessage
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err = errors.Join(err, json.Unmarshal([]byte(line), &object)); err == nil {
			err = schema.Validate(doc)
		}
		if err != nil || failed {
			t.Fatalf("standard error has the line %q, %v; want one message a line, and an error last:\n%s", line, err, stderr)
		}
		for kind, value := range object {
			text := string(value)
			if kind == "error" {
				failed = true
			} else if kind != "progress" {
				if err := json.Unmarshal(value, &text); err != nil {
					t.Fatal(err)
				}
			}
			b.WriteString(kind + ": " + text + "\n")
		}
	}
	return b.String()
}

// failed returns the error at the end of what a command with --json writes to standard error.
func failed(t *testing.T, stderr string) (f failure) {
	t.Helper()
	_, last, ok := strings.Cut("\n"+messages(t, stderr), "\nerror: ")
	if err := json.Unmarshal([]byte(last), &f); err != nil || !ok {
		t.Errorf("no error in %s: %v", stderr, err)
	}
	return f
}

// TestJSONErrors checks that each command with --json reports a wrong command line and a failure as JSON, and prints nothing else.
func TestJSONErrors(t *testing.T) {
	dir := t.TempDir()
	golden := storetest.File(t, "basic.nix-export")
	t.Chdir(dir)
	t.Setenv("HOME", dir)
	if err := os.WriteFile("key", []byte(testKey), 0o600); err != nil {
		t.Fatal(err)
	}
	succeed(t, "", "image", "-q", "--from", golden, "oci:hello:v1")
	fails := map[string]string{
		"image": "--from gone oci:x", "rootfs": "--from gone ./x", "index": "oci:x oci:gone:a oci:gone:b", "closure": "--from gone", "why": "--from gone hello",
		"plan": "--from gone", "check": "--from gone", "ls": "--from gone", "diff": "oci:gone:a oci:gone:b", "sbom": "--from gone",
		"attest": "--key key oci:gone", "report": "--from gone x.html", "cache": "--cache key", "verify": "oci:gone",
	}
	for _, c := range commands() {
		has := false
		for _, d := range flagsOf(c) {
			has = has || d.name == "json"
		}
		if !has {
			continue
		}
		cases := map[string]int{c.name + " --json --nonsense": 2, c.name + " --nonsense --json": 2, c.name + " --json --quiet=perhaps": 2}
		if args, ok := fails[c.name]; ok {
			cases[c.name+" --json "+args] = 1
			cases[c.name+" --json --quiet "+args] = 1
			delete(fails, c.name)
		}
		for line, want := range cases {
			out, said, status := invoke(t, "", strings.Fields(line)...)
			if f := failed(t, said); out != "" || status != want || f.ExitStatus != want {
				t.Errorf("%s prints %q and exits with %d, and says %s; want nothing and %d", line, out, status, said, want)
			}
		}
	}
	if len(fails) > 0 {
		t.Errorf("commands without --json: %v", fails)
	}

	// What a command finds is its result, on standard output.
	for _, line := range []string{"check --json --from " + golden, "diff --json --max-size 1 oci:hello:v1 oci:hello:v1"} {
		out, said, status := invoke(t, "", strings.Fields(line)...)
		if f := failed(t, said); !json.Valid([]byte(out)) || status != 3 || f.ExitStatus != 3 {
			t.Errorf("%s prints %s and exits with %d, and says %s; want a result and 3", line, out, status, said)
		}
	}
	// Without a result, the error has it.
	_, said, status := invoke(t, "", "image", "--json", "--check", "--from", golden, "oci:x")
	want := []problem{{Message: "/etc/ssl/certs/ca-bundle.crt: 1 of 1 certificates cannot be decoded"}}
	if f := failed(t, said); status != 3 || cmp.Diff(want, f.Problems) != "" {
		t.Errorf("image --check exits with %d and says %s; want 3 and %v", status, said, want)
	}
	// Several mistakes are a list, each with its hint.
	_, said, status = invoke(t, "", "image", "--json", "--annotation=", "--label=", "oci:x")
	want = []problem{{"--annotation: its value is empty", "leave the flag out if it has no value"}, {"--label: its value is empty", "leave the flag out if it has no value"}}
	if f := failed(t, said); status != 2 || cmp.Diff(want, f.Problems) != "" {
		t.Errorf("image with two mistakes exits with %d and says %s; want 2 and %v", status, said, want)
	}
	// A word that is no command.
	for line, want := range map[string]string{"imgae --json oci:x": `unknown command "imgae"`, "--json closure": `flags come after the command "closure"`} {
		if _, said, status := invoke(t, "", strings.Fields(line)...); status != 2 || failed(t, said).Message != want {
			t.Errorf("%s exits with %d and says %s; want 2 and %q", line, status, said, want)
		}
	}
}

// TestJSONSignal checks that an error names the signal that ends the process, and no exit status.
func TestJSONSignal(t *testing.T) {
	golden := storetest.File(t, "basic.nix-export")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(signalError{syscall.SIGTERM})
	var out, said strings.Builder
	run(ctx, []string{"image", "--json", "--no-cache", "--from", golden, "oci:" + filepath.Join(t.TempDir(), "x")}, terminal{out: &out, err: &said})
	want := failure{Message: "stopped by signal: terminated", Signal: "SIGTERM"}
	if d := cmp.Diff(want, failed(t, said.String()), cmp.AllowUnexported(failure{})); d != "" {
		t.Errorf("error after SIGTERM (-want +got):\n%s", d)
	}
}

// TestJSONMessages checks that notes, hints and progress follow the schema, and that --quiet leaves them out.
func TestJSONMessages(t *testing.T) {
	var b strings.Builder
	s := &speaker{outputFlags: outputFlags{json: true, debug: true}, w: &b}
	s.notef("a %s", "note")
	s.hintf(`a "hint"`)
	s.debugf("a\nline")
	p := s.progressSending("building", 10e6, new(atomic.Int64))
	p.add(5e6)
	p.report(5e6)
	p.done()
	want := "note: a note\nhint: a \"hint\"\ndebug: a\nline\nprogress: {\"what\":\"building\",\"bytes\":5000000,\"total\":10000000}\n"
	if got := messages(t, b.String()); got != want {
		t.Errorf("messages are %q; want %q", got, want)
	}
	b.Reset()
	s.quiet, s.debug = true, false
	s.notef("x")
	s.hintf("x")
	s.debugf("x")
	if b.Len() > 0 {
		t.Errorf("--quiet prints %q", &b)
	}
}

func TestJoined(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), errors.New("c")
	for _, tt := range []struct {
		err  error
		want []error
	}{
		{nil, nil},
		{a, nil},
		{errors.Join(a), []error{a}},
		{errors.Join(a, b), []error{a, b}},
		{fmt.Errorf("x: %w", errors.Join(a, errors.Join(b, c))), []error{a, b, c}},
		{fmt.Errorf("x: %w: %w", a, b), nil},
		{withHint(inChapter("trust", errors.Join(a, b)), "x"), []error{a, b}},
	} {
		if got := joined(tt.err); fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("joined(%v) = %v; want %v", tt.err, got, tt.want)
		}
	}
}
