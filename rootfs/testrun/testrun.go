// Package testrun tells tests how much to try.
package testrun

import "os"

// Exhaustive reports whether EXHAUSTIVE is set in the environment.
// Tests then try every cut and every bit, files above 2 GiB and thousands of objects.
// Otherwise they try a fixed sample of them, so that all tests together take a minute.
func Exhaustive() bool { return os.Getenv("EXHAUSTIVE") != "" }

// Of returns few, or all in an exhaustive run.
func Of(few, all int) int {
	if Exhaustive() {
		return all
	}
	return few
}
