package main

import (
	"context"
	"io"
	"path/filepath"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// imageOf returns the image that a result link leads to, as commands take it, or "": a build of Nix can make a layout or an archive.
// It does not look into compressed archives, which could take long.
func imageOf(ctx context.Context, link, target string) string {
	link = strings.TrimPrefix(link, "./")
	if strings.Contains(link, ":") {
		return "" // a tag would follow
	}
	switch {
	case exists(filepath.Join(target, ispec.ImageLayoutFile)) && exists(filepath.Join(target, ispec.ImageIndexFile)):
		return "oci:" + link
	case isPlainTar(target) && isImageArchive(ctx, target):
		return "oci-archive:" + link
	}
	return ""
}

// isPlainTar reports whether a file begins as a tar that is not compressed.
func isPlainTar(name string) bool {
	f, _ := openRegular(name)
	if f == nil {
		return false
	}
	defer f.Close()
	var header [512]byte
	_, err := io.ReadFull(f, header[:])
	return err == nil && string(header[257:262]) == "ustar"
}

// printImage says what can be done with an image that is here already.
func (d *doctor) printImage(block func(heading string, commands ...string)) {
	for _, r := range d.Results {
		if r.Image == "" {
			continue
		}
		image := shellWord(r.Image)
		commands := []string{"export-profile report " + image + " " + shellWord(strings.TrimPrefix(r.Name, "./")+".html")}
		heading := r.Name + " is an image already. To look into it:"
		if d.tool("podman") != nil {
			heading = r.Name + " is an image already. To look into it and run it:"
			commands = append(commands, "podman run --rm $(podman pull -q "+image+")")
		}
		block(heading, commands...)
		return
	}
}
