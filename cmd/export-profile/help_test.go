package main

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestHelp checks that every help begins with examples, and that its lines fit into a terminal.
func TestHelp(t *testing.T) {
	for _, c := range commands() {
		out := succeed(t, "", "help", c.name)
		if !strings.HasPrefix(c.help, "examples:\n  ") {
			t.Errorf("help %s does not begin with examples", c.name)
		}
		for line := range strings.Lines(out) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 120 {
				t.Errorf("help %s has a line of %d characters: %s", c.name, n, line)
			}
		}
	}
}

// TestFlagGroups checks that every flag of every command is in one group, and that the groups name no other flags.
func TestFlagGroups(t *testing.T) {
	unused := make(map[string]bool)
	for _, g := range flagGroups {
		for _, entry := range strings.Fields(g.flags) {
			if _, ok := unused[entry]; ok {
				t.Errorf("%q has two groups", entry)
			}
			unused[entry] = true
		}
	}
	for _, c := range commands() {
		for _, d := range flagsOf(c) {
			if d.group < 0 {
				t.Errorf("%s --%s has no group in flagGroups", c.name, d.name)
			}
			unused[d.name], unused[c.name+"/"+d.name] = false, false
		}
	}
	for entry, is := range unused {
		if is {
			t.Errorf("flagGroups has %q, and no command has that flag", entry)
		}
	}
}

// TestFlagsInHelp checks that help shows each flag of a command once, and that the most common come first.
func TestFlagsInHelp(t *testing.T) {
	for _, c := range commands() {
		out := succeed(t, "", "help", c.name)
		for _, d := range flagsOf(c) {
			if n := strings.Count(out, "\n  "+d.term()+"  ") + strings.Count(out, "\n  "+d.term()+"\n"); n != 1 {
				t.Errorf("help %s shows %q %d times; want once", c.name, d.term(), n)
			}
		}
	}
	image := succeed(t, "", "help", "image")
	var at []int
	for _, g := range flagGroups {
		at = append(at, strings.Index(image, "\n"+g.heading+":\n"))
	}
	if !slices.IsSorted(at) || at[0] < 0 {
		t.Errorf("help image has its groups at %v; want all, in order", at)
	}
}
