package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// claimsOf returns the layers of an image as its history describes them. before is the image that it reuses layers of.
// Blobs have half the size of their objects.
func claimsOf(t testing.TB, before []Candidate, layers []Group) []Candidate {
	t.Helper()
	var all []Candidate
	for _, l := range layers {
		if l.Reuse > 0 {
			all = append(all, before[l.Reuse-1])
			continue
		}
		entry, err := history.NewEntry(time.Time{}, rootfs.StoreDir{}, l.Parts, l.Hidden, nil)
		if err != nil {
			t.Fatal(err)
		}
		claim, err := history.Parse(entry)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, Candidate{claim, size(l) / 2})
	}
	return all
}

// unpackModel unpacks an image into contents by path.
// An object has one file that other objects of its name have, too, and one file of its own.
// It is an error if a layer hides what it holds, or if a new layer hides what does not exist.
func unpackModel(image []Candidate, layers []Group) (map[string]string, error) {
	all := make(map[string]string)
	for i, l := range image {
		for _, name := range l.Hidden {
			if l.Holds(name) {
				return nil, fmt.Errorf("layer %d hides %s, which it holds", i, name)
			}
			found := false
			for path := range all {
				if strings.HasPrefix(path, "nix/store/"+name+"/") {
					found = true
					delete(all, path)
				}
			}
			if !found && layers[i].Reuse == 0 {
				return nil, fmt.Errorf("layer %d hides %s, which does not exist below", i, name)
			}
		}
		for _, o := range l.Objects {
			addToModel(all, o.Name, o.Hash)
		}
	}
	return all, nil
}

func addToModel(all map[string]string, name, hash string) {
	dir := "nix/store/" + name
	if name == history.BaseName {
		dir = "etc"
	}
	all[dir+"/content"] = hash
	all[dir+"/only-"+hash] = ""
}

func modelOf(parts []rootfs.Part) map[string]string {
	all := make(map[string]string)
	for _, p := range parts {
		addToModel(all, p.Name, history.Hash(p.Key))
	}
	return all
}
