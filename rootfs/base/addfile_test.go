package base

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

func TestAddFile(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lower []string
		path  string
		want  []string // files and links of the part, and notes
		err   string
	}{
		{"new", nil, "var/lib/x", []string{"d 0755 etc", "f 0444 etc/a a", "d 0755 var", "d 0755 var/lib", "f 0444 var/lib/x new"}, ""},
		{"a linked directory", []string{"d 0755 var", "l var/lib -> ../srv", "d 0700 srv"}, "var/lib/x",
			[]string{"d 0755 etc", "f 0444 etc/a a", "d 0700 srv", "f 0444 srv/x new"}, ""},
		{"a file of the base image", []string{"d 0755 var", `f 0644 var/x "old"`}, "var/x",
			[]string{"d 0755 etc", "f 0444 etc/a a", "d 0755 var", "f 0444 var/x new", `"/var/x" takes the place of the base image's`}, ""},
		{"a directory of the base image", []string{"d 0755 var", "d 0755 var/x"}, "var/x", nil, `add "/var/x": the base image has a directory there`},
		{"a file in the way", []string{`f 0644 var "x"`}, "var/x", nil, `add "/var/x": the base image has a file at "/var"`},
		{"a file of the part", nil, "etc/a", nil, `add "/etc/a": extend base files: "etc/a": file already exists`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &Files{Part: basePart(t, "d 0755 etc", "f 0444 etc/a a")}
			before := f.Key
			lower := rootfstest.Lower(t, tt.lower...)
			if tt.lower == nil {
				lower = nil
			}
			err := f.AddFile(lower, tt.path, []byte("new"))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("AddFile = %v; want %s", err, tt.err)
				}
				if f.Key != before || f.Notes != nil {
					t.Error("a failed AddFile changes the files")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			lines, err := rootfstest.Lines(f.Tree)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(text(tt.want), text(append(lines, f.Notes...))); diff != "" {
				t.Errorf("AddFile (-want +got):\n%s", diff)
			}
			if f.Key == before {
				t.Error("AddFile does not change the key")
			}
		})
	}
}
