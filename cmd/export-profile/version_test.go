package main

import (
	"encoding/json"
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestVersionOf checks what version says of builds in a repository, of downloaded modules and without any information.
func TestVersionOf(t *testing.T) {
	const commit = "deb57f377ddf69ac6a3d3befaef4bc80368647d9"
	for _, tt := range []struct {
		name string
		info *debug.BuildInfo
		want buildVersion
	}{
		{"no information", nil, buildVersion{Version: "unknown"}},
		{"a release", &debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: "v1.2.3"}}, buildVersion{Version: "v1.2.3", Go: "go1.26"}},
		{
			"a downloaded commit",
			&debug.BuildInfo{Main: debug.Module{Version: "v0.0.0-20260129084254-deb57f377ddf"}},
			buildVersion{Version: "v0.0.0-20260129084254-deb57f377ddf", Commit: "deb57f377ddf"},
		},
		{
			"a changed repository",
			&debug.BuildInfo{
				Main:     debug.Module{Version: "v1.2.4-0.20260129084254-deb57f377ddf+dirty"},
				Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: commit}, {Key: "vcs.modified", Value: "true"}},
			},
			buildVersion{Version: "v1.2.4-0.20260129084254-deb57f377ddf+dirty", Commit: commit, Modified: true},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := versionOf(tt.info)
			if d := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(buildVersion{}, "Format", "Plan", "Compressor")); d != "" {
				t.Errorf("versionOf (-want +got):\n%s", d)
			}
			if got.Format == 0 || got.Plan == 0 || got.Compressor == "" {
				t.Errorf("versionOf = %+v; want a format, a plan and a compressor", got)
			}
		})
	}
	packaged = "v1.2.4-0.20260129084254-deb57f377ddf"
	t.Cleanup(func() { packaged = "" })
	got := versionOf(&debug.BuildInfo{Main: debug.Module{Version: "(devel)"}})
	if got.Version != packaged || got.Commit != "deb57f377ddf" {
		t.Errorf("versionOf a build that was packaged as %s = %+v; want this version and its commit", packaged, got)
	}
	if got := versionOf(&debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}); got.Version != "v1.2.3" {
		t.Errorf("versionOf a packaged release = %+v; want the release", got)
	}
	var printed buildVersion
	if err := json.Unmarshal([]byte(succeed(t, "", "version", "--json")), &printed); err != nil || printed.Format == 0 {
		t.Errorf("version --json prints %+v, %v; want a format", printed, err)
	}
}

// TestVersionRelease checks which versions name a tag, so that version says where their sources are.
func TestVersionRelease(t *testing.T) {
	for version, want := range map[string]bool{
		"v1.2.3": true, "v1.2.3-rc.1": true, "(devel)": false, "unknown": false, "v1.2": false, "v1.2.3+dirty": false,
	} {
		if got := release.MatchString(version); got != want {
			t.Errorf("release matches %q: %v; want %v", version, got, want)
		}
	}
}
