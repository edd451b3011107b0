package ocilayout

import (
	"slices"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layers is how many there are, also without a base image.
func (f *Image) layers() int {
	if f == nil {
		return 0
	}
	return len(f.Layers)
}

// asLayers are the layers of an image that begins with this one.
func (f *Image) asLayers() []Layer {
	layers := make([]Layer, len(f.Layers))
	for i := range f.Layers {
		layers[i].Reuse = &f.Layers[i]
	}
	return layers
}

// Inherit is a config with what the base image has and it has not.
// Env are the variables of what is laid over the base image: its PATH comes before the base's.
// Defaults are those that the base's are better than.
//
// Variables are merged by their names, the base's first and those of the config over all others;
// labels, ports and volumes are merged. An entrypoint makes the base's command void, as Docker has it.
func (f *Image) Inherit(c ispec.ImageConfig, env, defaults []string) ispec.ImageConfig {
	base := f.Config.Config
	env = slices.Clone(env)
	for i, e := range env {
		if path, ok := strings.CutPrefix(e, "PATH="); ok {
			env[i] = "PATH=" + joinPath(path, variable(base.Env, "PATH"))
		}
	}
	c.Env = mergeVariables(defaults, base.Env, env, c.Env)
	if len(c.Entrypoint) == 0 {
		c.Entrypoint = base.Entrypoint
		if len(c.Cmd) == 0 {
			c.Cmd = base.Cmd
		}
	}
	for _, field := range []struct{ own, base *string }{
		{&c.User, &base.User},
		{&c.WorkingDir, &base.WorkingDir},
		{&c.StopSignal, &base.StopSignal},
	} {
		if *field.own == "" {
			*field.own = *field.base
		}
	}
	c.Labels = union(base.Labels, c.Labels)
	c.ExposedPorts = union(base.ExposedPorts, c.ExposedPorts)
	c.Volumes = union(base.Volumes, c.Volumes)
	return c
}

// joinPath puts directories behind others, those that are not there yet.
func joinPath(path, more string) string {
	all := strings.Split(path, ":")
	for dir := range strings.SplitSeq(more, ":") {
		if dir != "" && !slices.Contains(all, dir) {
			all = append(all, dir)
		}
	}
	return strings.Join(all, ":")
}

// variable is the value of the last variable of that name.
func variable(env []string, name string) (value string) {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v
		}
	}
	return value
}

func union[V any](base, own map[string]V) map[string]V {
	if len(base) == 0 {
		return own
	}
	all := make(map[string]V, len(base)+len(own))
	for _, m := range []map[string]V{base, own} {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}

// mergeVariables is each variable once, as the last list has it. Those of the second one come first.
func mergeVariables(defaults, base, env, own []string) []string {
	var all []string
	at := make(map[string]int)
	add := func(list []string, over bool) {
		for _, e := range list {
			name, _, ok := strings.Cut(e, "=")
			if !ok || name == "" {
				continue // which no image may have
			}
			i, had := at[name]
			switch {
			case !had:
				at[name] = len(all)
				all = append(all, e)
			case over:
				all[i] = e
			}
		}
	}
	add(base, true)
	add(env, true)
	add(defaults, false)
	add(own, true)
	return all
}
