package main

import (
	"github.com/spf13/pflag"
)

// baseFlags say which image another one begins with.
type baseFlags struct {
	name     string
	registry *registryFlags
}

func (b *baseFlags) flags(fs *pflag.FlagSet, r *registryFlags) {
	fs.StringVar(&b.name, "base", "", "lay everything over `IMAGE` (oci:DIR[:TAG], docker://NAME[:TAG|@DIGEST] or oci-archive:FILE), whose layers and config are kept")
	b.registry = r
}

const baseExample = "as in --base docker://debian:12"
