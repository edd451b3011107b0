package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/export-profile/export-profile/rootfs"
)

// compareNix2container compares our plan of an image with that of nix2container itself, which reads the store.
// Objects that are equally popular may trade places, since nix2container leaves their order to chance.
func compareNix2container(ctx context.Context, program string, m image) (err error) {
	dir, err := os.MkdirTemp("", "series")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	type object struct {
		Path       string   `json:"path"`
		References []string `json:"references"`
	}
	var closure []object
	for _, p := range m.store {
		o := object{Path: "/" + p.Root, References: []string{}}
		for _, r := range p.Refs {
			o.References = append(o.References, "/"+r)
		}
		closure = append(closure, o)
	}
	text, err := json.Marshal(closure)
	if err != nil {
		return err
	}
	in, out := filepath.Join(dir, "closure.json"), filepath.Join(dir, "layers.json")
	if err := os.WriteFile(in, text, 0o644); err != nil {
		return err
	}
	c := exec.CommandContext(ctx, program, "layers-from-reproducible-storepaths", out, in, "--max-layers", fmt.Sprint(nix2containerLimit))
	if output, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, output)
	}
	var theirs []struct {
		Paths []struct {
			Path string `json:"path"`
		} `json:"paths"`
	}
	if text, err = os.ReadFile(out); err == nil {
		err = json.Unmarshal(text, &theirs)
	}
	if err != nil {
		return err
	}
	ours := pathCount(m.store, nix2containerLimit)
	if len(ours) != len(theirs) {
		return fmt.Errorf("nix2container makes %d layers, and we %d", len(theirs), len(ours))
	}
	popularity := popularityByRoot(m.store)
	same := 0
	for i := range ours {
		if len(ours[i]) != len(theirs[i].Paths) {
			return fmt.Errorf("layer %d: nix2container puts %d objects into it, and we %d", i+1, len(theirs[i].Paths), len(ours[i]))
		}
		for n := range ours[i] {
			a, b := ours[i][n].Root, theirs[i].Paths[n].Path[1:]
			if popularity[a] != popularity[b] {
				return fmt.Errorf("layer %d: nix2container has %q, and we %q, which is not equally popular", i+1, b, a)
			}
			if a == b {
				same++
			}
		}
	}
	fmt.Printf("nix2container's plan is ours: %d layers, %d objects; %d of these in the same place, and the others in that of an equally popular one\n", len(ours), len(m.store), same)
	return nil
}

func popularityByRoot(parts []rootfs.Part) map[string]int {
	byRoot := make(map[string]int)
	for n, count := range newGraph(parts).pathCounts() {
		byRoot[parts[n].Root] = count
	}
	return byRoot
}
