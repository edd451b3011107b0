// Package testrun tells tests how much to try, and where.
package testrun

import (
	"os"

	"golang.org/x/sys/unix"
)

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

// Run runs the tests of a package that create thousands of files. Without TMPDIR in the environment
// it keeps them in memory if /dev/shm has room: a file system without a journal takes most of a millisecond for each.
func Run(m interface{ Run() int }) int {
	var s unix.Statfs_t
	if os.Getenv("TMPDIR") != "" || unix.Statfs("/dev/shm", &s) != nil || int64(s.Bavail)*int64(s.Bsize) < 4<<30 {
		return m.Run()
	}
	dir, err := os.MkdirTemp("/dev/shm", "go-test-")
	if err != nil {
		return m.Run()
	}
	defer os.RemoveAll(dir)
	_ = os.Chmod(dir, 0o755) // for tests that run as another user
	_ = os.Setenv("TMPDIR", dir)
	return m.Run()
}
