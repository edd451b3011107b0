package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// An image file has the flags of an image, so that a team can keep them in git:
//
//	profile: ./result
//	entrypoint: [nginx, -g, daemon off;]
//	env: {LANG: C.UTF-8}
//	changes:
//	- add: page.html:/srv/page.html
//	- mkdir: /var/lib/app:0750:101
//	destination: oci:app:v1
//
// Its keys are the names of flags. A key takes the value of its flag; a repeatable flag also takes a list,
// a flag of NAME=VALUE a map, and a command a list of words. The key changes lists the values of --add, --mkdir,
// --symlink, --whiteout and --layer in order, and destination is the argument.
// Relative paths are relative to the working directory, as on a command line.
//
// A flag on the command line replaces the key. In a map it overrides only the names that it sets.

// maxImageFile is the largest number of bytes that an image file may have.
const maxImageFile = 4 << 20

// notInFile lists the flags that concern one run only.
var notInFile = []string{"help", "file", "print-file", "print-schema", "json", "quiet", "debug", "digest-file"}

// inFile says whether image files have a key of the flag's name.
func inFile(f *pflag.Flag) bool { return !slices.Contains(notInFile, f.Name) && !isChange(f) }

const (
	changesKey     = "changes"
	destinationKey = "destination"
)

// imageFile is the flag --file of image, and of the commands that predict an image.
type imageFile struct{ file string }

func (f *imageFile) flags(fs *pflag.FlagSet) {
	fs.StringVar(&f.file, "file", "", "read flags and the destination from `FILE`, in JSON or YAML (- is standard input); flags on the command line override it")
}

// imageFileFlags are those of image, which also prints image files.
type imageFileFlags struct {
	imageFile
	printFile   bool
	printSchema bool
}

func (f *imageFileFlags) flags(fs *pflag.FlagSet) {
	f.imageFile.flags(fs)
	fs.BoolVar(&f.printFile, "print-file", false, "print these flags as a --file, and make no image")
	fs.BoolVar(&f.printSchema, "print-schema", false, "print the JSON schema of a --file, and make no image")
}

// read applies the image file to a command's flags. It checks the whole file as image does,
// then ignores the keys for which the command has no flag, and a shared cache if the command does not use one.
func (f *imageFile) read(fs *pflag.FlagSet, in io.Reader, c *cacheFlags) (destination string, err error) {
	if f.file == "" {
		return "", nil
	}
	defer func() { err = inChapter("files", err) }()
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return "", fmt.Errorf("read image file: %w", err)
		}
		defer file.Close()
		in = file
	}
	b, err := io.ReadAll(io.LimitReader(in, maxImageFile+1))
	if err == nil && len(b) > maxImageFile {
		err = fmt.Errorf("it has more than %d bytes", maxImageFile)
	}
	if err != nil {
		return "", fmt.Errorf("read image file %q: %w", f.file, err)
	}
	given := fs.Changed("cache")
	if destination, err = applyImageFile(imageFlagsOver(fs), b); err != nil {
		return "", &usageError{msg: fmt.Sprintf("image file %q: %v", f.file, err),
			hint: "`export-profile image --print-schema` prints what can be in it", problems: err}
	}
	if !given && !c.allowShared {
		c.cache = slices.DeleteFunc(c.cache, func(word string) bool { return strings.HasPrefix(word, registryPrefix) })
	}
	return destination, nil
}
