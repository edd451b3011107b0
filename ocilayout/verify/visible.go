package verify

import (
	"fmt"
	"maps"
	"slices"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// visibleObject is an object that is visible, and the layer that shows it, from 0.
type visibleObject struct {
	history.Object
	layer int
}

// apply finds out what is visible once all layers are applied in their order, as the history has them:
// whether a layer is what the history says has been found out with the layer.
func (img *image) apply(found *findings) ImageReport {
	result := ImageReport{Digest: img.digest, Layers: len(img.layers)}
	visible := make(map[string]visibleObject)
	others := make(map[string]int) // objects into which a layer of another program has put something
	problem := func(layer int, name, format string, args ...any) {
		p := Problem{Image: img.digest, Layer: layer + 1, Blob: img.layers[layer].blob(), What: fmt.Sprintf(format, args...)}
		if p.Path = rootfs.StoreDir + "/" + name; name == history.BaseName {
			p.Path = ""
		}
		found.add(p)
	}
	for i, l := range img.layers {
		if l.claim != nil && l.claim.Top { // who made the image has wanted it so, and the history says what
			for _, name := range sorted(l.store.hidden) {
				delete(visible, name)
			}
			continue
		}
		if l.claim == nil {
			result.Foreign++
			gone := sorted(l.store.hidden)
			if l.store.wiped {
				gone = slices.Sorted(maps.Keys(visible))
				clear(others)
			}
			for _, name := range gone {
				delete(others, name)
				if s, ok := visible[name]; ok && name != history.BaseName {
					problem(i, name, "is hidden by another program, and layer %d shows it", s.layer+1)
					delete(visible, name)
				}
			}
			for _, name := range sorted(l.store.put) {
				others[name] = i
				if s, ok := visible[name]; ok {
					problem(i, name, "is changed by another program, and layer %d shows it", s.layer+1)
				}
			}
			continue
		}
		for _, name := range l.claim.Hidden {
			_, ok := visible[name]
			_, other := others[name]
			if !ok && !other {
				problem(i, name, "is hidden, and no layer below shows it")
			}
			delete(visible, name)
			delete(others, name)
		}
		for _, o := range l.claim.Objects {
			if below, ok := visible[o.Name]; ok && o.Name != history.BaseName && (below.Hash != o.Hash || o.Hash == "") {
				problem(i, o.Name, "%s is another one than that of layer %d, which is not hidden", o.Name, below.layer+1)
			}
			if below, ok := others[o.Name]; ok {
				problem(i, o.Name, "layer %d, of another program, has something there, too", below+1)
			}
			visible[o.Name] = visibleObject{o, i}
		}
	}
	for name, s := range visible {
		if name != history.BaseName {
			result.Objects++
			result.Size += s.Size
		}
	}
	return result
}
