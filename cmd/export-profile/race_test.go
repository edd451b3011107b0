//go:build race

package main

// underRace says that the race detector distorts time and memory.
const underRace = true
