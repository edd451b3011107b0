package storetest

import (
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// Knot covers what Odd does not: a profile that refers to itself and is part of a reference cycle,
// with odd names, empty directories and empty files in its etc and bin.
// Its files contain all its references, so a scan for references finds them.
func Knot(t testing.TB) *Sample {
	s := &Sample{Name: "knot", trees: make(map[profile.Path]rootfs.Tree)}
	at := func(name string) string { return string(pathOf(name)) }
	s.add(t, "first", "knot", "d .", "d etc", "f 0444 etc/\xff\xfe not UTF-8", "l etc/\xc3( \xff\xfe", "d etc/none", "d etc/none/at", "d etc/none/at/all",
		"f 0444 etc/zero", "f 0555 etc/zero.sh", "f 0444 back "+at("knot"))
	s.add(t, "second", "first leaf linked", "d .", "f 0555 run "+at("first"), "l leaf "+at("leaf"), "l linked "+at("linked"))
	s.add(t, "leaf", "", "f 0555 . #!/bin/sh")
	s.add(t, "linked", "leaf", "l . "+at("leaf"))
	s.add(t, "void", "", "d .")
	s.Root = s.add(t, "knot", "first knot leaf second void", "d .", "l etc "+at("first")+"/etc", "d bin", "l bin/sh "+at("leaf"),
		"l bin/run "+at("second")+"/run", "l bin/\xe9t\xe9 "+at("leaf"), "l void "+at("void"), "l self "+at("knot")+"/bin", "d share", "d share/empty")
	return s
}
