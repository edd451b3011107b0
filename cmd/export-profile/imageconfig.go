package main

import (
	"cmp"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
)

// imageConfig is what commands have in common that make an image or look at one that could be made:
// what is in it, for which platform, and how it is run.
type imageConfig struct {
	assembly
	config   configFlags
	platform string
}

// platformFlags are those about the base image and the platform.
func (c *imageConfig) platformFlags(fs *pflag.FlagSet, r *registryFlags) {
	c.under.flags(fs, r)
	fs.StringVar(&c.platform, "platform", "", "make the image for `OS/ARCH[/VARIANT]` (default: linux and the architecture of the profile's programs)")
}

// image is what the flags alone say of it.
func (c *imageConfig) image() (image ocilayout.ImageSpec, err error) {
	image.Author = c.config.author
	if image.Config, err = c.config.config(); err != nil {
		return image, err
	}
	if c.platform != "" {
		image.Platform, err = parsePlatform(c.platform)
	}
	return image, err
}

// complete adds to an image what only all its files say.
func (c *imageConfig) complete(image *ocilayout.ImageSpec, all *assembled, say *speaker) (err error) {
	if image.Platform, err = platformOf(image.Platform, all.arch, say); err != nil {
		return err
	}
	all.under.under(image, all.base)
	image.Platform.OSVersion = cmp.Or(c.config.osVersion, image.Platform.OSVersion)
	if c.config.osFeatures != nil {
		image.Platform.OSFeatures = c.config.osFeatures
	}
	if c.user != "" {
		image.Config.User = all.user.ID()
	}
	return nil
}

// platformOf is the platform that was asked for, or else that of the profile's programs.
func platformOf(asked ispec.Platform, arch string, say *speaker) (ispec.Platform, error) {
	switch {
	case asked.OS != "":
		if arch != "" && asked.Architecture != arch {
			say.notef("the profile's programs are for %s, and --platform says %s", arch, platformName(asked))
		}
		return asked, nil
	case arch == "":
		return asked, usagef("as in --platform linux/amd64", "the profile has no programs that say which platform they are for")
	}
	return ispec.Platform{OS: "linux", Architecture: arch}, nil
}
