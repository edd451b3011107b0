package ocilayout

import (
	"slices"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layers counts the layers. A nil image has none.
func (img *Image) layers() int {
	if img == nil {
		return 0
	}
	return len(img.Layers)
}

// asLayers returns the layers for reuse in an image that begins with this one.
func (img *Image) asLayers() []Layer {
	layers := make([]Layer, len(img.Layers))
	for i := range img.Layers {
		layers[i].Reuse = &img.Layers[i]
	}
	return layers
}

// Inherit returns the config c, completed by that of the base image.
// Env holds the variables that the new layers need; their PATH comes before the base's.
// Defaults hold variables that apply only if the base image has none of that name.
//
// Inherit merges variables by name: the base's come first, and those of c override all others.
// It also merges labels, ports and volumes. An entrypoint in c discards the base's command, as in Docker.
func (img *Image) Inherit(c ispec.ImageConfig, env, defaults []string) ispec.ImageConfig {
	base := img.Config.Config
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

// joinPath appends those directories of more that path lacks.
func joinPath(path, more string) string {
	all := strings.Split(path, ":")
	for dir := range strings.SplitSeq(more, ":") {
		if dir != "" && !slices.Contains(all, dir) {
			all = append(all, dir)
		}
	}
	return strings.Join(all, ":")
}

// variable returns the value of the last variable of that name.
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

// mergeVariables lists each variable once. Own overrides env, env overrides base, and defaults only fill gaps. The order begins with base.
func mergeVariables(defaults, base, env, own []string) []string {
	var all []string
	at := make(map[string]int)
	add := func(list []string, over bool) {
		for _, e := range list {
			name, _, ok := strings.Cut(e, "=")
			if !ok || name == "" {
				continue // no image may have such a variable
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
