package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// A document has the flags of an image, for what one keeps in git:
//
//	profile: ./result
//	entrypoint: [nginx, -g, daemon off;]
//	env: {LANG: C.UTF-8}
//	changes:
//	- add: page.html:/srv/page.html
//	- mkdir: /var/lib/app:0750:101
//	destination: oci:app:v1
//
// Its keys are the flags' names, and a value is what the flag takes: one that repeats takes a list, too,
// one of NAME=VALUE a map, a command a list of words. changes has, in order, what --add and its like say,
// and destination is the argument. Relative paths are relative to the working directory, as on a command line.
//
// A flag on the command line takes the place of the key, but of maps it only overrides what it names.

// maxDocument is more bytes than anybody writes.
const maxDocument = 4 << 20

// notInFile are the flags that are about one run.
var notInFile = []string{"help", "file", "print-file", "print-schema", "json", "quiet", "debug", "digest-file"}

// inFile says whether a flag is a key of documents by its own name.
func inFile(f *pflag.Flag) bool { return !slices.Contains(notInFile, f.Name) && !isChange(f) }

const (
	changesKey     = "changes"
	destinationKey = "destination"
)

// documentFlag is of commands that take a document: image, and those that look at the image that it would make.
type documentFlag struct{ file string }

func (f *documentFlag) flags(fs *pflag.FlagSet) {
	fs.StringVar(&f.file, "file", "", "read flags and the destination from `FILE`, in JSON or YAML (- is standard input); flags on the command line override it")
}

// fileFlags also write documents.
type fileFlags struct {
	documentFlag
	printFile   bool
	printSchema bool
}

func (f *fileFlags) flags(fs *pflag.FlagSet) {
	f.documentFlag.flags(fs)
	fs.BoolVar(&f.printFile, "print-file", false, "print these flags as a --file, and make no image")
	fs.BoolVar(&f.printSchema, "print-schema", false, "print the JSON schema of a --file, and make no image")
}

// read applies the document to a command's flags. All of it is checked as image does, and what other commands
// have no flag for, as that is nothing they show, is left out; so is a shared cache where a command has no use for one.
func (f *documentFlag) read(fs *pflag.FlagSet, in io.Reader, c *cacheFlags) (destination string, err error) {
	if f.file == "" {
		return "", nil
	}
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return "", fmt.Errorf("read image file: %w", err)
		}
		defer file.Close()
		in = file
	}
	b, err := io.ReadAll(io.LimitReader(in, maxDocument+1))
	if err == nil && len(b) > maxDocument {
		err = fmt.Errorf("it has more than %d bytes", maxDocument)
	}
	if err != nil {
		return "", fmt.Errorf("read image file %q: %w", f.file, err)
	}
	given := fs.Changed("cache")
	if destination, err = applyDocument(imageFlagsOver(fs), b); err != nil {
		return "", &usageError{msg: fmt.Sprintf("image file %q: %v", f.file, err),
			hint: "`export-profile image --print-schema` prints what can be in it"}
	}
	if !given && !c.shares {
		c.cache = slices.DeleteFunc(c.cache, func(word string) bool { return strings.HasPrefix(word, registryPrefix) })
	}
	return destination, nil
}
