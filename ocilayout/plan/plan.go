// Package plan divides the parts of an image into layers. It is pure: a plan depends on nothing but what it is given,
// which are the parts' names, keys, sizes and references, and what the layers of a previous image hold.
// No file is opened, and the order of the input makes no difference.
//
// For any parts and options, [New] and [Sticky] promise:
//
//   - What is visible in the layers, one above the other, is exactly the parts.
//   - There are at most as many layers as there may be, or there is an error that wraps [ErrTooManyLayers].
//   - The base part, whose root is empty, is in the last layer.
//   - A change of a few parts changes few bytes: what is large is alone, however many need it.
//
// [Sticky] also keeps the layers of the previous image as they are, as far as that is of use.
//
// Package ocilayout makes layers of what is planned.
package plan

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/export-profile/export-profile/rootfs"
)

// Group is what becomes one layer of an image.
type Group struct {
	// Parts are what is visible in the image of this layer, in path order.
	Parts []rootfs.Part
	// Hidden are the roots of parts of layers below that this one makes invisible (whiteouts), sorted.
	Hidden []string
	// Reuse says which layer of the previous image this one is, from 1: nothing is built.
	// It may hold more than Parts, what other layers hide. 0 means that it is new.
	Reuse int
}

// MaxLayers is how many layers an image may have. Docker mounts at most 125, and there must be room
// for those that others put on top.
const MaxLayers = 120

// ErrTooManyLayers is in the errors of plans that need more layers than they may have.
var ErrTooManyLayers = errors.New("too many layers")

// Limits of a plan.
const (
	defaultLayers = 60

	smallest = 1 << 20 // a layer of small parts has about this many bytes at least,
	enough   = 4 << 20 // and about this many at most
)

// Mode is how a plan divides parts into layers.
type Mode byte

const (
	ModeAuto    Mode = iota // so that an update changes few bytes; see New
	ModeSingle              // everything in one
	ModePerPath             // each part in its own
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

// String is what ParseMode parses.
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

// Options say how New divides. The zero value is right.
type Options struct {
	MaxLayers int     // at most 120; 0 means 60, and with ModePerPath 120
	Mode      Mode    // ModeAuto unless Policy is nil
	Policy    *Policy // which parts are together; nil if it is all the same
	// BaseLayers is how many layers of a base image come before. They count.
	BaseLayers int
}

// New divides parts into layers, so that an update of a few parts changes few bytes.
// It does not open a file, and the order of its input does not matter.
// Every part is in one layer.
//
// A part of 1 MiB or more is a layer by itself. Smaller ones are together with those
// that are needed by the same packages, which are what the base part's Refs refer to;
// tiny groups are merged until they have 1 MiB, and large ones are divided at 4 MiB.
// While there are too many layers, the two smallest become one.
//
// What most packages need comes first, and then parts in path order.
// The profiles (the base part's Refs) and the base part, which change with every release, come last:
// small profiles in one layer with the base part, large ones before it.
//
// The layers of a policy come before all others, in its order, and each is there as the policy has it.
// Too few layers for a policy or for ModePerPath are an error.
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
	return p.groups(p.divide(all, p.most)), nil
}

// check is about the options alone, whatever they are used on.
func (o Options) check() error {
	switch {
	case o.MaxLayers < 0 || o.MaxLayers > MaxLayers:
		return fmt.Errorf("at most %d layers: want 1 to %d", o.MaxLayers, MaxLayers)
	case o.BaseLayers < 0 || o.BaseLayers >= cmp.Or(o.MaxLayers, MaxLayers):
		return fmt.Errorf("%w: at most %d, and the base image has %d already", ErrTooManyLayers, cmp.Or(o.MaxLayers, MaxLayers), o.BaseLayers)
	case o.Mode > ModePerPath:
		return fmt.Errorf("unknown mode %v", o.Mode)
	case o.Policy != nil && o.Mode != ModeAuto:
		return fmt.Errorf("a policy says what is together, and so does %v", o.Mode)
	}
	return nil
}

// limit is how many layers a new image may have.
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

// sortParts is the parts in path order, each once.
func sortParts(parts []rootfs.Part) ([]rootfs.Part, error) {
	sorted := slices.Clone(parts)
	slices.SortFunc(sorted, func(a, b rootfs.Part) int { return rootfs.ComparePaths(a.Root, b.Root) })
	for i, p := range sorted {
		if i > 0 && p.Root == sorted[i-1].Root {
			return nil, fmt.Errorf("%s: %q: %w: %s is there", p.Name, p.Root, fs.ErrExist, sorted[i-1].Name)
		}
	}
	return sorted, nil
}

// checkLimit refuses what cannot be merged into few enough layers.
func (p *planner) checkLimit() error {
	if n := len(p.parts); p.options.Mode == ModePerPath && n > p.most {
		return fmt.Errorf("%w: %d paths are one layer each, and there can be at most %d: "+
			"raise that, to at most %d, or let layers have several paths", ErrTooManyLayers, n, p.most, MaxLayers)
	}
	if p.options.Policy == nil {
		return nil
	}
	fixed := make(map[int]bool)
	rest := 0
	for _, line := range p.fixed {
		if line == noLine {
			rest = 1
		} else {
			fixed[line] = true
		}
	}
	if n := len(fixed) + rest; n > p.most {
		return fmt.Errorf("%w: the policy has %d layers, the rest needs %d, and there can be at most %d: "+
			"raise that, to at most %d, or join lines of the policy", ErrTooManyLayers, len(fixed), rest, p.most, MaxLayers)
	}
	return nil
}
