package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/source"
)

// If a word is in the wrong place, its form shows what the user meant.

// noOperands refuses words after a command that takes none.
func noOperands(command string, words []string) error {
	if len(words) == 0 {
		return nil
	}
	hint := "as in export-profile " + command + " --profile ./result"
	switch word := words[0]; {
	case isImage(word):
		hint = "name an image with --from " + word
	case isSource(word):
		hint = "name a source with --from " + shellWord(word)
	case isProfile(word):
		hint = "name a profile or a store path with --profile " + word + ", and a store with --from"
	}
	return usagef(hint, "%s: want no arguments, not %q", command, words)
}

// wordsHint returns a hint for too many or too few words: the example, unless the words show what was meant.
func wordsHint(command string, words []string, example string) string {
	program := strings.TrimSpace("export-profile " + command)
	if len(words) == 2 && isProfile(words[0]) {
		return fmt.Sprintf("name a profile with --profile: %s --profile %s %s", program, words[0], words[1])
	}
	return "as in " + program + " " + example
}

// isProfile says whether a word probably names a profile or a store path, and not a result.
func isProfile(word string) bool {
	return !isImage(word) && exists(word) || isStorePath(word)
}

// isSource says whether a word names something that --from reads.
func isSource(word string) bool {
	_, err := source.Recognise(word)
	return err == nil
}

// isStorePath says whether a word is a store path, or the path of a file in an object.
func isStorePath(word string) bool {
	return slices.ContainsFunc(profile.KnownStoreDirs, func(d profile.StoreDir) bool { return strings.HasPrefix(word, d.String()+"/") })
}

// strayImage refuses an image among words that must name something inside an image.
func strayImage(command string, words []string) error {
	i := slices.IndexFunc(words, isImage)
	if i < 0 {
		return nil
	}
	return usagef("name an image with --from "+words[i], "%s: %q is an image, not a name inside one", command, words[i])
}

// hintImage adds a hint for an image that was given as a store.
func hintImage(err error, image string) error {
	return withHint(err, "it is an image; closure, why, ls, diff and sbom look into one: --from %s", image)
}

// isImageNearly says whether a word looks like the name of an image, except for case or an empty rest.
func isImageNearly(word string) bool {
	return slices.ContainsFunc(prefixes(), func(p string) bool {
		return len(word) >= len(p) && strings.EqualFold(word[:len(p)], p) || word == strings.TrimRight(p, ":/")
	})
}

// isImageArchive says whether a file is an image's archive.
func isImageArchive(ctx context.Context, name string) bool {
	f, size := openRegular(name)
	if f == nil {
		return false
	}
	defer f.Close()
	a, err := ocilayout.OpenArchiveFile(ctx, name, f, size)
	if err != nil {
		return false
	}
	_, err = a.File(ispec.ImageIndexFile, false)
	return err == nil
}

// openRegular opens a regular file and returns its size, or nil for everything else. It does not wait for a pipe.
func openRegular(name string) (f *os.File, size int64) {
	fi, err := os.Stat(name)
	if err != nil || !fi.Mode().IsRegular() {
		return nil, 0
	}
	if f, err = os.Open(name); err != nil {
		return nil, 0
	}
	return f, fi.Size()
}
