package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// architectures lists the GOARCH of each GOOS: the OCI image spec takes its platforms from Go's ports.
var architectures = map[string][]string{
	"aix":       {"ppc64"},
	"android":   {"386", "amd64", "arm", "arm64"},
	"darwin":    {"amd64", "arm64"},
	"dragonfly": {"amd64"},
	"freebsd":   {"386", "amd64", "arm", "arm64", "riscv64"},
	"illumos":   {"amd64"},
	"ios":       {"amd64", "arm64"},
	"js":        {"wasm"},
	"linux": {
		"386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64", "s390x",
	},
	"netbsd":  {"386", "amd64", "arm", "arm64"},
	"openbsd": {"386", "amd64", "arm", "arm64", "ppc64", "riscv64"},
	"plan9":   {"386", "amd64", "arm"},
	"solaris": {"amd64"},
	"wasip1":  {"wasm"},
	"windows": {"386", "amd64", "arm", "arm64"},
}

// otherArchNames maps the names that uname, Nix and others give to architectures to Go's names.
var otherArchNames = map[string]string{
	"x86_64": "amd64", "x86-64": "amd64", "x64": "amd64",
	"aarch64": "arm64", "armv8": "arm64",
	"i386": "386", "i486": "386", "i586": "386", "i686": "386", "x86": "386",
	"armv5tel": "arm/v5", "armel": "arm/v5", "armv6l": "arm/v6", "armv6": "arm/v6",
	"armv7l": "arm/v7", "armv7": "arm/v7", "armv7a": "arm/v7", "armhf": "arm/v7",
	"powerpc64": "ppc64", "powerpc64le": "ppc64le", "ppc64el": "ppc64le",
	"mipsel": "mipsle", "mips64el": "mips64le", "loongarch64": "loong64",
}

var variants = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9_.-]+$`) })

func parsePlatform(s string) (ispec.Platform, error) {
	p := ispec.Platform{OS: s}
	p.OS, p.Architecture, _ = strings.Cut(s, "/")
	arch, variant, hasVariant := strings.Cut(p.Architecture, "/")
	p.Architecture, p.Variant = arch, variant
	switch archs := architectures[p.OS]; {
	case arch == "" || hasVariant && !variants().MatchString(variant):
		return ispec.Platform{}, usagef(nearPlatform(s), "--platform %q: want OS/ARCH[/VARIANT]", s)
	case archs == nil:
		return ispec.Platform{}, usagef(nearPlatform(s), "--platform %q: no operating system is called %q", s, p.OS)
	case !slices.Contains(archs, arch):
		return ispec.Platform{}, usagef(nearPlatform(s), "--platform %q: %s has no architecture %q", s, p.OS, arch)
	}
	return p, nil
}

// nearPlatform returns a hint with the platform that was probably meant. It knows systems of Nix (x86_64-linux).
func nearPlatform(s string) string {
	os, arch, _ := strings.Cut(s, "/")
	arch, variant, _ := strings.Cut(arch, "/")
	if variant, _, _ = strings.Cut(variant, "/"); variants().MatchString(variant) {
		variant = "/" + variant
	} else {
		variant = ""
	}
	if a, o, ok := strings.Cut(s, "-"); ok && arch == "" && architectures[o] != nil {
		os, arch = o, a
	}
	if own, ok := otherArchNames[arch]; ok {
		arch = own
	}
	arch, own, ok := strings.Cut(arch, "/")
	if ok {
		variant = "/" + own
	}
	switch {
	case slices.Contains(architectures[os], arch):
		return fmt.Sprintf("did you mean %s/%s%s?", os, arch, variant)
	case slices.Contains(architectures["linux"], arch):
		return fmt.Sprintf("did you mean linux/%s%s?", arch, variant)
	case architectures[os] != nil:
		return fmt.Sprintf("%s has %s", os, strings.Join(architectures[os], ", "))
	}
	return "as in --platform linux/arm64"
}

// platformName formats a platform for --platform.
func platformName(p ispec.Platform) string {
	name := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		name += "/" + p.Variant
	}
	return name
}
