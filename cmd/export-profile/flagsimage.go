package main

import (
	"github.com/spf13/pflag"
)

// imageFlags are the flags of commands that can look into an image.
type imageFlags struct {
	registryFlags
	platform string
}

func (f *imageFlags) flags(fs *pflag.FlagSet) {
	fs.StringVar(&f.platform, "platform", "", "look at the part for `OS/ARCH[/VARIANT]` of an image for several platforms")
	f.registryFlags.flags(fs)
}
