package main

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestSwallowedFlags checks that every flag refuses another flag as its value, except those with the words of a command.
func TestSwallowedFlags(t *testing.T) {
	for _, c := range commands() {
		fs := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
		c.setup(fs)
		fs.VisitAll(func(f *pflag.Flag) {
			if kind := f.Value.Type(); kind != "string" && kind != "stringArray" || isCommand(f) {
				return
			}
			other := "--" + f.Name
			_, said, status := invoke(t, "", c.name, other, other, "x")
			if want := "error: " + other + ": its value is missing, since " + other + " is a flag\n"; status != 2 || !strings.Contains(said, want) {
				t.Errorf("%s %s %s x exits with %d and says %q; want 2 and %q", c.name, other, other, status, said, want)
			}
		})
	}
	for _, tt := range []struct {
		args string
		want string // "" if it is no such mistake
	}{
		{"image --attest --from x oci:y", "error: --attest: its value is missing, since --from is a flag\nexport-profile: hint: give --attest its value before the next flag, or write --attest=./--from for"},
		{"image --attest --from=x oci:y", "--attest: its value is missing, since --from=x is a flag"},
		{"image --from gone --attest -q oci:y", "--attest: its value is missing, since -q is a flag"},
		{"verify --key --quiet oci:y", "--key: its value is missing, since --quiet is a flag"},
		{"./root --profile a --profile --from", "--profile: its value is missing, since --from is a flag"},
		{"image --from gone --cmd --from oci:y", ""},
		{"image --from gone --attest ./--from oci:y", ""},
		{"image --from gone --attest --neither oci:y", ""},
		{"image --from gone --attest - oci:y", ""},
	} {
		_, said, status := invoke(t, "", strings.Fields(tt.args)...)
		if status == 0 || !strings.Contains(said, tt.want) || tt.want == "" && strings.Contains(said, "is missing, since") {
			t.Errorf("%s exits with %d and says %q; want %q", tt.args, status, said, tt.want)
		}
	}
}
