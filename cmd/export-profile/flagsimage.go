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
	fs.StringVar(&f.platform, "platform", "", "look at what an image for several platforms has for `OS/ARCH[/VARIANT]`")
	f.registryFlags.flags(fs)
}
