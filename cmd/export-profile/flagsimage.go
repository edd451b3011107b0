package main

import (
	"github.com/spf13/pflag"
)

// imageFlags are those of commands that look into finished images, too.
type imageFlags struct {
	registryFlags
	platform string
}

func (f *imageFlags) flags(fs *pflag.FlagSet) {
	fs.StringVar(&f.platform, "platform", "", "look at the part for `OS/ARCH[/VARIANT]` of an image for several platforms")
	f.registryFlags.flags(fs)
}
