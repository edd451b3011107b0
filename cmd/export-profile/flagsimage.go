package main

import (
	"cmp"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
)

// inspectFlags are the flags of commands that can look into an existing image.
type inspectFlags struct {
	registryFlags
	platform string
}

func (f *inspectFlags) flags(fs *pflag.FlagSet) {
	fs.StringVar(&f.platform, "platform", "", "look at the part for `OS/ARCH[/VARIANT]` of an image for several platforms")
	f.registryFlags.flags(fs)
}

// imageFlags are the flags of all commands that make an image or predict one:
// its contents, its platform and its config.
type imageFlags struct {
	assemblyFlags
	config   configFlags
	platform string

	health health // parsed by newImage
}

// platformFlags adds --base and --platform.
func (f *imageFlags) platformFlags(fs *pflag.FlagSet, r *registryFlags) {
	f.base.flags(fs, r)
	fs.StringVar(&f.platform, "platform", "", "`OS/ARCH[/VARIANT]` make the image for a platform (default: linux and the architecture of the programs)")
}

// newImage returns an image with all that the flags say about it.
func (f *imageFlags) newImage() (image ocilayout.ImageSpec, err error) {
	image.Author = f.config.author
	if image.Config, err = f.config.config(); err != nil {
		return image, err
	}
	f.workdir = image.Config.WorkingDir
	if f.platform != "" {
		if image.Platform, err = parsePlatform(f.platform); err != nil {
			return image, err
		}
	}
	if f.health, err = f.config.health.parse(); err == nil && f.base.name == "" {
		_, err = f.health.over(nil)
	}
	return image, err
}

// complete adds to an image what depends on its files.
func (f *imageFlags) complete(image *ocilayout.ImageSpec, a *assembly, say *speaker) (err error) {
	if image.Platform, err = platformOf(image.Platform, a.arch, say); err != nil {
		return err
	}
	a.baseImage.putUnder(image, a.baseFiles)
	if image.Healthcheck, err = f.health.over(a.baseImage.healthcheck()); err != nil {
		return err
	}
	image.Platform.OSVersion = cmp.Or(f.config.osVersion, image.Platform.OSVersion)
	if f.config.osFeatures != nil {
		image.Platform.OSFeatures = f.config.osFeatures
	}
	if f.user != "" {
		image.Config.User = a.user.ID()
	}
	return nil
}

// platformOf returns the platform asked for, or else that of the profile's programs.
func platformOf(asked ispec.Platform, arch string, say *speaker) (ispec.Platform, error) {
	switch {
	case asked.OS != "":
		if arch != "" && asked.Architecture != arch {
			say.notef("the programs are for %s, but --platform says %s", arch, platformName(asked))
		}
		return asked, nil
	case arch == "":
		return asked, inChapter("platforms", usagef("as in --platform linux/amd64", "no program shows the image's platform"))
	}
	return ispec.Platform{OS: "linux", Architecture: arch}, nil
}
