//go:build race

package testrun

// Race says that the race detector is on. Time and memory are then not those of the program.
const Race = true
