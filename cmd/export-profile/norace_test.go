//go:build !race

package main

// underRace says that time and memory are not the program's own.
const underRace = false
