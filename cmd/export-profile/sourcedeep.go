package main

import (
	"strings"
	"sync"

	"github.com/export-profile/export-profile/rootfs"
)

// nixDepth is how many levels Nix reads and writes since 2.34.7 (CVE-2026-44028). The store path itself is the first.
// This program reads deeper store paths, up to rootfs.MaxDepth: older versions of Nix made them.
const nixDepth = 64

// deepPaths remembers the store paths that are too deep for Nix. A run finds them when it reads their files,
// so not in layers that come from the cache.
type deepPaths struct {
	mu    sync.Mutex
	found map[string]bool // by root
}

// watch changes the parts' trees, so that they tell d of deep files.
func (d *deepPaths) watch(parts []rootfs.Part) {
	for i := range parts {
		root, tree := parts[i].Root, parts[i].Tree
		parts[i].Tree = func(yield func(rootfs.Entry, error) bool) {
			above := strings.Count(root, "/")
			for e, err := range tree {
				if strings.Count(e.Path, "/")-above >= nixDepth {
					d.add(root)
				}
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

func (d *deepPaths) add(root string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.found == nil {
		d.found = make(map[string]bool)
	}
	d.found[root] = true
}

// note says which store paths are too deep, once they have been read.
func (d *deepPaths) note(say *speaker) {
	d.mu.Lock()
	defer d.mu.Unlock()
	first := ""
	for root := range d.found {
		if first == "" || root < first {
			first = root
		}
	}
	switch n := len(d.found); n {
	case 0:
	case 1:
		say.notef("%q has files more than %d levels deep: Nix since 2.34.7 refuses it", "/"+first, nixDepth)
	default:
		say.notef("%q and %d more store paths have files more than %d levels deep: Nix since 2.34.7 refuses them", "/"+first, n-1, nixDepth)
	}
}
