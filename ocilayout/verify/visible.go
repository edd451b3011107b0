package verify

import (
	"fmt"
	"maps"
	"slices"

	"github.com/export-profile/export-profile/ocilayout/history"
)

// visibleObject is a visible object with the index of the layer that has it.
type visibleObject struct {
	history.Object
	layer int
}

// sameFound reports whether two layers hold the same object, as far as they were hashed. A history has too few digits to tell.
func sameFound(a, b *layer, name string) bool {
	x, ok := a.objects[name]
	y, ok2 := b.objects[name]
	return !ok || !ok2 || x.Hash == y.Hash
}

// checkVisible applies the layers in order, counts the objects that are visible in the end, and reports layers
// that contradict lower ones. It fills Store if store is set. It goes by the history alone: layer.check compares a layer with its history.
func (img *image) checkVisible(found *findings, store bool) ImageReport {
	result := ImageReport{Digest: img.digest, StoreDir: img.storeDir, Layers: len(img.layers), Config: img.settings}
	visible := make(map[string]visibleObject)
	foreign := make(map[string]int) // by object, the layer of another program that wrote to it
	problem := func(layer int, name, format string, args ...any) {
		p := Problem{Image: img.digest, Layer: layer + 1, Blob: img.layers[layer].blob(), What: fmt.Sprintf(format, args...)}
		if p.Path = img.storeDir.Object(name); name == history.BaseName {
			p.Path = ""
		}
		found.add(p)
	}
	for i, l := range img.layers {
		result.Blobs = append(result.Blobs, l.blob())
		result.Stacked = result.Stacked || l.claim == nil || l.claim.Top
		if l.claim != nil && l.claim.Top { // changes that the user asked for, and that the history lists
			for _, name := range sorted(l.store.hidden) {
				delete(visible, name)
			}
			for _, name := range sorted(l.store.written) {
				if s, ok := visible[name]; ok {
					s.Changed = true
					visible[name] = s
				}
			}
			continue
		}
		if l.claim == nil {
			result.Foreign++
			gone := sorted(l.store.hidden)
			if l.store.wiped {
				gone = slices.Sorted(maps.Keys(visible))
				clear(foreign)
			}
			for _, name := range gone {
				delete(foreign, name)
				if s, ok := visible[name]; ok && name != history.BaseName {
					problem(i, name, "is hidden by another program, but comes from layer %d", s.layer+1)
					delete(visible, name)
				}
			}
			for _, name := range sorted(l.store.written) {
				foreign[name] = i
				if s, ok := visible[name]; ok {
					problem(i, name, "is changed by another program, but comes from layer %d", s.layer+1)
				}
			}
			continue
		}
		for _, name := range l.claim.Hidden {
			_, ok := visible[name]
			_, written := foreign[name]
			if !ok && !written {
				problem(i, name, "is hidden, but no lower layer has it")
			}
			delete(visible, name)
			delete(foreign, name)
		}
		for _, o := range l.claim.Objects {
			if below, ok := visible[o.Name]; ok && o.Name != history.BaseName && (below.Hash != o.Hash || o.Hash == "" || !sameFound(img.layers[below.layer], l, o.Name)) {
				problem(i, o.Name, "differs from the object in layer %d, which is not hidden", below.layer+1)
			}
			if below, ok := foreign[o.Name]; ok {
				problem(i, o.Name, "layer %d, of another program, writes to it, too", below+1)
			}
			visible[o.Name] = visibleObject{o, i}
		}
	}
	for name, s := range visible {
		if name != history.BaseName {
			result.Objects++
			result.Size += s.Size
		}
		if s.Changed {
			result.Changed = append(result.Changed, name)
		}
	}
	slices.Sort(result.Changed)
	if store && !result.Stacked {
		result.Store = img.store(visible)
	}
	return result
}
