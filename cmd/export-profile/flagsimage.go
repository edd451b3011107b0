package main

import (
	"cmp"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
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

// imageConfig holds the flags of all commands that make an image or predict one:
// its contents, its platform and its config.
type imageConfig struct {
	assembly
	config   configFlags
	platform string
}

// platformFlags adds --base and --platform.
func (c *imageConfig) platformFlags(fs *pflag.FlagSet, r *registryFlags) {
	c.under.flags(fs, r)
	fs.StringVar(&c.platform, "platform", "", "make the image for `OS/ARCH[/VARIANT]` (default: linux and the architecture of the profile's programs)")
}

// newImage returns an image with all that the flags say about it.
func (c *imageConfig) newImage() (image ocilayout.ImageSpec, err error) {
	image.Author = c.config.author
	if image.Config, err = c.config.config(); err != nil {
		return image, err
	}
	if c.platform != "" {
		image.Platform, err = parsePlatform(c.platform)
	}
	return image, err
}

// complete adds to an image what depends on its files.
func (c *imageConfig) complete(image *ocilayout.ImageSpec, all *assembled, say *speaker) (err error) {
	if image.Platform, err = platformOf(image.Platform, all.arch, say); err != nil {
		return err
	}
	all.under.extendBy(image, all.base)
	image.Platform.OSVersion = cmp.Or(c.config.osVersion, image.Platform.OSVersion)
	if c.config.osFeatures != nil {
		image.Platform.OSFeatures = c.config.osFeatures
	}
	if c.user != "" {
		image.Config.User = all.user.ID()
	}
	return nil
}

// platformOf returns the platform in asked, or else that of the profile's programs.
func platformOf(asked ispec.Platform, arch string, say *speaker) (ispec.Platform, error) {
	switch {
	case asked.OS != "":
		if arch != "" && asked.Architecture != arch {
			say.notef("the profile's programs are for %s, but --platform says %s", arch, platformName(asked))
		}
		return asked, nil
	case arch == "":
		return asked, usagef("as in --platform linux/amd64", "the profile has no programs that show its platform")
	}
	return ispec.Platform{OS: "linux", Architecture: arch}, nil
}
