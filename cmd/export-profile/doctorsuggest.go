package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/profile"
)

// material is something that an image can be made of.
type material struct {
	what    string // for people
	flags   string // that name it, each with a space in front
	name    string // for the image
	program string // to run in it, or ""
}

// material chooses among what was found. What lies in the working directory comes first, since the user went there.
func (d *doctor) material() (m material, ok bool) {
	store := ""
	if d.store != nil && d.storeDir() != d.byDefault {
		store = " --store-dir " + d.storeDir().String()
	}
	for _, r := range d.Results {
		if r.Path != "" && r.Image == "" {
			return material{r.Name, store + " --profile " + shellWord(r.Name), nameForImage(r.Path.Name()), r.program}, true
		}
	}
	if d.Profile != nil && d.Profile.Path != "" {
		return material{"this user's profile", store, nameForImage(d.Profile.Path.Name()), d.Profile.program}, true
	}
	if len(d.Sources) == 0 {
		return m, false
	}
	s := d.Sources[0]
	if i := slices.IndexFunc(d.Sources, func(s foundSource) bool { return s.file }); i >= 0 {
		s = d.Sources[i] // made to be read here, while a directory may lie here for other reasons
	}
	name := s.Name
	if strings.HasPrefix(name, "-") || strings.ContainsAny(name, ":?") {
		name = "./" + name
	}
	return material{s.Name, " --from " + shellWord(name), nameForImage(s.Name), ""}, true
}

// image returns the command that makes an image, without the destination.
func (m material) image() string { return "export-profile image" + m.flags }

// suggest sets the commands that make an image of what was found, and run it.
func (d *doctor) suggest() {
	m, ok := d.material()
	if !ok {
		return
	}
	d.Of, d.Commands = m.what, d.loadCommands(m)
	if d.Container && len(d.Commands) == 1 {
		d.Dockerfile = []string{"RUN export-profile" + m.flags + " /dist/", "FROM scratch", "COPY --from=build /dist /", "ENV PATH=/run/profile/bin"}
	}
	for _, l := range d.Logins {
		if l.Registry != "" {
			d.Push = fmt.Sprintf("%s docker://%s/%s:v1", m.image(), pushPlace(l.Registry), m.name)
			break
		}
	}
}

// loadCommands makes an image with a tool that can run it, or else as a layout.
func (d *doctor) loadCommands(m material) []string {
	tag, program, terminal := m.name+":v1", shellWord(cmp.Or(m.program, "PROGRAM")), ""
	if program == "sh" {
		terminal = " -it"
	}
	for _, tool := range []string{"podman", "docker", "nerdctl"} {
		if d.tool(tool) != nil {
			return []string{
				fmt.Sprintf("%s --tag %s docker-archive:- | %s load", m.image(), tag, tool),
				fmt.Sprintf("%s run --rm%s %s %s", tool, terminal, tag, program),
			}
		}
	}
	commands := []string{fmt.Sprintf("%s oci:%s", m.image(), tag)}
	if d.tool("buildah") != nil {
		commands = append(commands, fmt.Sprintf("buildah run $(buildah from oci:%s) %s", tag, program))
	}
	return commands
}

// pushPlace returns a repository's beginning in a registry that a login is for.
func pushPlace(registry string) string {
	if registry == "docker.io" || registry == "index.docker.io" {
		return "docker.io/USER"
	}
	return registry
}

// sourceEndings are the endings of names that say nothing of what is in a file.
var sourceEndings = []string{
	".export", ".nar", ".nario", ".closure", ".stream", ".tar", ".tgz", ".txz", ".gz", ".xz", ".zst", ".bz2", ".lz4", ".lz",
}

// nameForImage makes a name for an image from that of a store path or file: without a version and endings, as registries allow it.
func nameForImage(name string) string {
	for {
		ending := filepath.Ext(name)
		if !slices.Contains(sourceEndings, strings.ToLower(ending)) {
			break
		}
		name = strings.TrimSuffix(name, ending)
	}
	if name, _ = profile.SplitName(name); name == "user-environment" {
		name = "profile"
	}
	var b strings.Builder
	for _, c := range strings.ToLower(name) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			b.WriteRune(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	return cmp.Or(strings.Trim(b.String(), "-"), "image")
}
