package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// previousOf is the image that layers become over another one, as its history says it.
// Blobs have half the size of their objects.
func previousOf(t testing.TB, before []Candidate, layers []Group) []Candidate {
	t.Helper()
	var all []Candidate
	for _, l := range layers {
		if l.Reuse > 0 {
			all = append(all, before[l.Reuse-1])
			continue
		}
		entry, err := history.NewEntry(time.Time{}, l.Parts, l.Hidden, nil)
		if err != nil {
			t.Fatal(err)
		}
		said, err := history.Parse(entry)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, Candidate{said, size(l) / 2})
	}
	return all
}

// unpackModel is what an unpacker makes of an image: contents by path.
// An object has a file of its hash that others of the same name have, too, and one that they have not.
// It is an error if a layer hides what it holds, or, if it is new, what is not there.
func unpackModel(image []Candidate, layers []Group) (map[string]string, error) {
	all := make(map[string]string)
	for i, l := range image {
		for _, name := range l.Hidden {
			if l.Holds(name) {
				return nil, fmt.Errorf("layer %d hides %s, which it holds", i, name)
			}
			found := false
			for path := range all {
				if strings.HasPrefix(path, history.StoreDir+"/"+name+"/") {
					found = true
					delete(all, path)
				}
			}
			if !found && layers[i].Reuse == 0 {
				return nil, fmt.Errorf("layer %d hides %s, which is not there", i, name)
			}
		}
		for _, o := range l.Objects {
			putModel(all, o.Name, o.Hash)
		}
	}
	return all, nil
}

func putModel(all map[string]string, name, hash string) {
	dir := history.StoreDir + "/" + name
	if name == history.BaseName {
		dir = "etc"
	}
	all[dir+"/content"] = hash
	all[dir+"/only-"+hash] = ""
}

func wantModel(parts []rootfs.Part) map[string]string {
	all := make(map[string]string)
	for _, p := range parts {
		putModel(all, p.Name, history.Hash(p.Key))
	}
	return all
}
