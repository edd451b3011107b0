// Package plan divides the parts of an image into layers. A plan depends only on the parts' names, keys, sizes and references,
// and on what the layers of a previous image hold. Planning opens no file, and the order of the input makes no difference.
//
// For any parts and options, [New] and [Sticky] promise:
//
//   - The layers, stacked in order, show exactly the parts.
//   - There are no more layers than the options allow, or there is an error that wraps [ErrTooManyLayers].
//   - The base part, whose root is empty, is in the last layer.
//   - A change of a few parts changes few bytes: a large part has its own layer, however many parts need it.
//
// [Sticky] also keeps layers of the previous image unchanged where that saves bytes.
//
// Package ocilayout builds the planned layers.
package plan

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/export-profile/export-profile/rootfs"
)

// Group describes one layer of an image.
type Group struct {
	// Parts are the parts that this layer shows in the image, in path order.
	Parts []rootfs.Part
	// Hidden are the roots of parts in lower layers that this layer hides with whiteouts, sorted.
	Hidden []string
	// Reuse numbers the layer of the previous image that this layer is, from 1. Such a layer is not built.
	// It may hold more than Parts, which other layers hide. 0 means a new layer.
	Reuse int
}

// MaxLayers limits the layers of an image. Docker mounts at most 125, and others need room
// for their layers on top.
const MaxLayers = 120

// ErrTooManyLayers is wrapped by the errors of plans that need more layers than they may have.
var ErrTooManyLayers = errors.New("too many layers")

// FormatVersion counts the changes of plans: how parts are divided into layers, and how layers are ordered.
// Another plan changes the digest of an image. The bytes of a layer follow from its parts alone, so no cache depends on the plan.
const FormatVersion = 2

// Limits of a plan. testdata/bench/README.md says what other values would cost.
const (
	defaultLayers = 100 // fewer than MaxLayers, so that updates have room

	minLayerBytes = 128 << 10 // approximate minimum for a layer of small parts
	maxLayerBytes = 4 << 20   // approximate maximum for a layer of small parts

	minProfileBytes = 1 << 20 // a smaller profile shares the layer of the base part, which mostly changes with it
)

// Mode selects how a plan divides parts into layers.
type Mode byte

const (
	ModeAuto    Mode = iota // an update changes few bytes; see New
	ModeSingle              // one layer for everything
	ModePerPath             // one layer for each part
)

// ParseMode parses auto, single or per-path.
func ParseMode(s string) (Mode, error) {
	for m := ModeAuto; m <= ModePerPath; m++ {
		if m.String() == s {
			return m, nil
		}
	}
	return 0, fmt.Errorf("layers %q: want auto, single or per-path", s)
}

// String returns the mode as [ParseMode] reads it.
func (m Mode) String() string {
	switch m {
	case ModeAuto:
		return "auto"
	case ModeSingle:
		return "single"
	case ModePerPath:
		return "per-path"
	}
	return fmt.Sprintf("Mode(%d)", byte(m))
}

// Options configure New. The zero value is usable.
type Options struct {
	MaxLayers int     // at most 120; 0 means 100, and 120 with ModePerPath
	Mode      Mode    // must be ModeAuto with a Policy
	Policy    *Policy // groups parts by name; may be nil
	// BaseLayers is the number of layers of the base image. They count against MaxLayers.
	BaseLayers int
}

// New divides parts into layers, so that an update of a few parts changes few bytes.
// It opens no file, and the order of its input does not matter.
// Every part is in one layer.
//
// A part of 128 KiB or more has its own layer. Smaller parts share a layer with those
// that the same packages need. Packages are what the profiles refer to, and profiles are the base part's Refs.
// Tiny groups are merged until they have 128 KiB, and large ones are divided at 4 MiB.
// While there are too many layers, the two smallest are merged.
//
// The parts that most packages need come first, and equal ones in path order.
// The profiles and the base part change with every release, so they come last:
// small profiles share a layer with the base part, and those of 1 MiB or more come before it.
//
// The layers of a policy come before all others, in the order of the policy. They are never merged or divided.
// It is an error if the options allow too few layers for a policy or for ModePerPath.
func New(parts []rootfs.Part, o Options) ([]Group, error) {
	p, err := newPlanner(parts, o)
	if err != nil {
		return nil, fmt.Errorf("plan layers: %w", err)
	}
	all := make([]bool, len(p.parts))
	for i := range all {
		all[i] = true
	}
	if err := p.checkLimit(); err != nil {
		return nil, fmt.Errorf("plan layers: %w", err)
	}
	return p.groups(p.divide(all, p.maxLayers)), nil
}

// check checks the options by themselves.
func (o Options) check() error {
	switch {
	case o.MaxLayers < 0 || o.MaxLayers > MaxLayers:
		return fmt.Errorf("at most %d layers: want 1 to %d", o.MaxLayers, MaxLayers)
	case o.BaseLayers < 0 || o.BaseLayers >= cmp.Or(o.MaxLayers, MaxLayers):
		return fmt.Errorf("%w: at most %d, and the base image has %d already", ErrTooManyLayers, cmp.Or(o.MaxLayers, MaxLayers), o.BaseLayers)
	case o.Mode > ModePerPath:
		return fmt.Errorf("unknown mode %v", o.Mode)
	case o.Policy != nil && o.Mode != ModeAuto:
		return fmt.Errorf("a policy cannot be combined with the mode %v", o.Mode)
	}
	return nil
}

// limit returns how many layers a new image may have.
func (o Options) limit() int {
	switch o.Mode {
	case ModeSingle:
		return 1
	case ModePerPath:
		return cmp.Or(o.MaxLayers, MaxLayers) - o.BaseLayers
	}
	if o.MaxLayers == 0 {
		return min(defaultLayers, MaxLayers-o.BaseLayers)
	}
	return o.MaxLayers - o.BaseLayers
}

// sortParts returns the parts in path order. Two parts with one root are an error.
func sortParts(parts []rootfs.Part) ([]rootfs.Part, error) {
	sorted := slices.Clone(parts)
	slices.SortFunc(sorted, func(a, b rootfs.Part) int { return rootfs.ComparePaths(a.Root, b.Root) })
	for i, p := range sorted {
		if i > 0 && p.Root == sorted[i-1].Root {
			return nil, fmt.Errorf("%s: %q: %w: it belongs to %s", p.Name, p.Root, fs.ErrExist, sorted[i-1].Name)
		}
	}
	return sorted, nil
}

// checkLimit refuses parts that cannot be merged into few enough layers.
func (p *planner) checkLimit() error {
	if n := len(p.parts); p.options.Mode == ModePerPath && n > p.maxLayers {
		return fmt.Errorf("%w: %d paths are one layer each, and there can be at most %d: "+
			"raise that, to at most %d, or let layers have several paths", ErrTooManyLayers, n, p.maxLayers, MaxLayers)
	}
	if p.options.Policy == nil {
		return nil
	}
	fixed := make(map[int]bool)
	rest := 0
	for _, line := range p.policyLayer {
		if line == noLine {
			rest = 1
		} else {
			fixed[line] = true
		}
	}
	if n := len(fixed) + rest; n > p.maxLayers {
		return fmt.Errorf("%w: the policy has %d layers, the rest needs %d, and there can be at most %d: "+
			"raise that, to at most %d, or join lines of the policy", ErrTooManyLayers, len(fixed), rest, p.maxLayers, MaxLayers)
	}
	return nil
}
