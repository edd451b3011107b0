package xz

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// filter undoes a filter, which an encoder applied before LZMA2. It keeps the size of the data.
type filter struct {
	converter
	held []byte // what the converter could not convert yet, and what follows
	done int    // bytes at the beginning of held that were returned
}

// converter undoes a filter in place.
type converter interface {
	// convert converts the beginning of b, whose bytes no earlier call has converted, and returns its length.
	convert(b []byte) int
}

// The filters that a block may have before LZMA2.
const (
	deltaID = 3 + iota
	x86ID
	powerPCID
	ia64ID
	armID
	armThumbID
	sparcID
	arm64ID
)

func newFilter(id uint64, properties []byte) (*filter, error) {
	if id == deltaID && len(properties) == 1 {
		return &filter{converter: &delta{distance: int(properties[0]) + 1}}, nil
	}
	start := uint32(0) // the address of the first byte
	switch len(properties) {
	case 0:
	case 4:
		start = binary.LittleEndian.Uint32(properties)
	default:
		return nil, unsupportedFilter(id, properties)
	}
	steps := map[uint64]*instructions{
		powerPCID:  {size: 4, step: 4, one: powerPC},
		ia64ID:     {size: 16, step: 16, one: ia64},
		armID:      {size: 4, step: 4, one: arm},
		armThumbID: {size: 4, step: 2, one: armThumb},
		sparcID:    {size: 4, step: 4, one: sparc},
		arm64ID:    {size: 4, step: 4, one: arm64},
	}
	if i := steps[id]; i != nil && start%uint32(i.step) == 0 {
		i.address = start
		return &filter{converter: i}, nil
	}
	if id == x86ID {
		return &filter{converter: &x86{address: start}}, nil
	}
	return nil, unsupportedFilter(id, properties)
}

func unsupportedFilter(id uint64, properties []byte) error {
	return fmt.Errorf("filter %#x with properties %#x: %w", id, properties, errors.ErrUnsupported)
}

// pass adds a piece and returns what can be converted now, or everything if it is the last.
// The result is valid until the next call.
func (f *filter) pass(piece []byte, last bool) []byte {
	f.held = append(f.held[:copy(f.held, f.held[f.done:])], piece...)
	f.done = f.convert(f.held)
	if last {
		f.done = len(f.held) // what is too short for an instruction stays as it is
	}
	return f.held[:f.done]
}

// delta undoes the difference to the byte at a distance.
type delta struct {
	distance int
	history  [256]byte
	pos      uint8
}

func (d *delta) convert(b []byte) int {
	for i := range b {
		b[i] += d.history[uint8(int(d.pos)-d.distance)]
		d.history[d.pos] = b[i]
		d.pos++
	}
	return len(b)
}

// instructions makes the absolute addresses in branches relative again. All filters but the one of x86 look at instructions alone.
type instructions struct {
	address uint32
	size    int                                       // bytes to look at
	step    int                                       // bytes from one instruction to the next
	one     func(b []byte, address uint32) (skip int) // converts an instruction
}
