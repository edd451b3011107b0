package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// swallowedFlags refuses flags whose value is another flag of the command, as in --attest --from SOURCE:
// the value was forgotten, and pflag takes the next word. The words of a command in the image can be anything.
func swallowedFlags(fs *pflag.FlagSet) error {
	var wrong []error
	fs.Visit(func(f *pflag.Flag) {
		words := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			words = list.GetSlice()
		}
		for _, word := range words {
			if !isCommand(f) && isFlagOf(fs, word) {
				wrong = append(wrong, usagef(fmt.Sprintf("give --%s its value before the next flag, or write --%s=./%s for a file of that name", f.Name, f.Name, word),
					"--%s: its value is missing, since %s is a flag", f.Name, word))
			}
		}
	})
	return errors.Join(wrong...)
}

// isFlagOf says whether a word is a flag of the command, with or without a value.
func isFlagOf(fs *pflag.FlagSet, word string) bool {
	name, _, _ := strings.Cut(word, "=")
	if long, ok := strings.CutPrefix(name, "--"); ok {
		return fs.Lookup(long) != nil
	}
	return len(word) == 2 && word[0] == '-' && fs.ShorthandLookup(word[1:]) != nil
}
