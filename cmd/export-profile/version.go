package main

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"runtime/debug"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/ocilayout/plan"
)

const versionHelp = `examples:
  export-profile version
  export-profile version --json

Prints the version of the program and the commit that it was built from.

Two programs make the same image from the same packages and flags
if both print the same format, the same plan and the same compressor.
`

// packaged is the version that a packager sets with -ldflags='-X main.packaged=v1.2.3'. Builds from sources
// without a repository record no version themselves. Of a commit without a tag, it is a pseudo-version, as Go makes them.
var packaged string

// buildVersion says what this program was built from. A field is empty if the build did not record it.
type buildVersion struct {
	Version    string `json:"version"`
	Commit     string `json:"commit,omitempty"`
	Modified   bool   `json:"modified,omitempty"` // files differed from the commit
	Format     int    `json:"format"`             // of layers
	Plan       int    `json:"plan"`               // of the division into layers
	Compressor string `json:"compressor,omitempty"`
	Go         string `json:"go,omitempty"`
}

func setupVersion(fs *pflag.FlagSet) runFunc {
	asJSON := fs.Bool("json", false, "print the result and all messages as JSON")
	return func(_ context.Context, t terminal, args []string) error {
		if len(args) > 0 {
			return usagef("", "version: want no arguments, not %q", args[0])
		}
		info, _ := debug.ReadBuildInfo()
		v := versionOf(info)
		if *asJSON {
			return printJSON(t.out, v)
		}
		commit := v.Commit
		switch {
		case commit == "" && release.MatchString(v.Version):
			commit = "the tag " + v.Version
		case commit == "":
			commit = "unknown"
		case v.Modified:
			commit += ", modified"
		}
		_, err := fmt.Fprintf(t.out, "export-profile %s\ncommit: %s\nformat: %d\nplan: %d\ncompressor: %s\ngo: %s\n",
			v.Version, commit, v.Format, v.Plan, cmp.Or(v.Compressor, "unknown"), cmp.Or(v.Go, "unknown"))
		return err
	}
}

// pseudoVersion matches the version of a module that was built from a commit without a tag. It ends with the commit.
var pseudoVersion = regexp.MustCompile(`[-.]\d{14}-([0-9a-f]{12})(?:\+dirty)?$`)

// release matches the version of a module that was built from a tag, if it is no pseudoVersion.
var release = regexp.MustCompile(`^v\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?$`)

// versionOf reads build information, which may be nil. It prefers the commit of a repository
// to the commit in the name of a downloaded module's version, and both to the packager's version.
func versionOf(info *debug.BuildInfo) buildVersion {
	v := buildVersion{Version: "unknown", Format: ocilayout.FormatVersion, Plan: plan.FormatVersion, Compressor: compress.Version()}
	if info == nil {
		return v
	}
	v.Go = info.GoVersion
	v.Version = cmp.Or(info.Main.Version, v.Version)
	if v.Version == "(devel)" {
		v.Version = cmp.Or(packaged, v.Version)
	}
	if m := pseudoVersion.FindStringSubmatch(v.Version); m != nil {
		v.Commit = m[1]
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
