package main

import (
	"bufio"
	"bytes"
	"context"
	"os/exec"
	"strings"
)

// readPopularity counts how many packages of Debian depend on each package of the universe, by its name with the version.
// Nixery has such counts of nixpkgs.
func readPopularity(ctx context.Context, u *universe) (map[string]int, error) {
	out, err := exec.CommandContext(ctx, "apt-cache", "dumpavail").Output()
	if err != nil {
		return nil, err
	}
	names, counts := countDepends(out)
	popularity := make(map[string]int)
	for _, p := range u.packages {
		if n := counts[debianName(p.name(), names)]; n > 0 {
			popularity[p.name()] = n
		}
	}
	return popularity, nil
}

// countDepends returns the names of all packages in Debian's list, and how many packages depend on each name.
func countDepends(list []byte) (names map[string]bool, counts map[string]int) {
	names, counts = make(map[string]bool), make(map[string]int)
	lines := bufio.NewScanner(bytes.NewReader(list))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "Package":
			names[value] = true
		case "Depends", "Pre-Depends":
			for clause := range strings.SplitSeq(value, ",") {
				if words := strings.FieldsFunc(clause, func(r rune) bool { return r == ' ' || r == '(' || r == ':' || r == '|' }); len(words) > 0 {
					counts[words[0]]++
				}
			}
		}
	}
	return names, counts
}

// debianName returns the longest name of a package that a name with a version begins with.
func debianName(name string, names map[string]bool) string {
	for i := strings.LastIndexByte(name, '-'); i > 0; i = strings.LastIndexByte(name[:i], '-') {
		if names[name[:i]] {
			return name[:i]
		}
	}
	return ""
}
