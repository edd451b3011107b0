package main

import (
	"github.com/spf13/pflag"
)

// baseFlags name the base image.
type baseFlags struct {
	name     string
	registry *registryFlags
}

func (b *baseFlags) flags(fs *pflag.FlagSet, r *registryFlags) {
	fs.StringVar(&b.name, "base", "", "put everything on top of `IMAGE` (oci:DIR[:TAG], docker://NAME[:TAG|@DIGEST] or oci-archive:FILE), and keep its layers and config")
	b.registry = r
}

const baseExample = "as in --base docker://debian:12"
