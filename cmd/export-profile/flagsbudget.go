package main

import (
	"fmt"
	"strconv"
	"strings"
)

// budget limits a size and its growth. The zero value has no limits.
type budget struct {
	maxSize int64 // bytes; 0 is no limit

	limited   bool // growth is limited
	maxGrowth int64
	percent   float64 // of the size before; if negative, maxGrowth is the limit
}

// parseBudget parses --max-size and --max-growth, which may be empty.
func parseBudget(size, growth string) (b budget, err error) {
	b.percent = -1
	if size != "" {
		if b.maxSize, err = parseBytes(size); err != nil {
			return b, usagef("as in --max-size 500MB", "--max-size: %v", err)
		}
	}
	if growth == "" {
		return b, nil
	}
	b.limited = true
	if number, ok := strings.CutSuffix(growth, "%"); ok {
		if b.percent, err = strconv.ParseFloat(strings.TrimSpace(number), 64); err != nil || !(b.percent >= 0 && b.percent <= 1e6) {
			return b, usagef("as in --max-growth 5%", "--max-growth %q: want bytes or percent, as in 20MB or 5%%", growth)
		}
		return b, nil
	}
	if growth == "0" {
		return b, nil
	}
	if b.maxGrowth, err = parseBytes(growth); err != nil {
		return b, usagef("as in --max-growth 20MB or 5%", "--max-growth: %v", err)
	}
	return b, nil
}

// exceeded lists the limits that size breaks. before is nil if there is no size to compare with.
func (b budget) exceeded(what, of string, size int64, before *int64) (reasons []string) {
	if b.maxSize > 0 && size > b.maxSize {
		reasons = append(reasons, fmt.Sprintf("%s has %s of %s, and --max-size allows %s", what, humanBytes(size), of, humanBytes(b.maxSize)))
	}
	if !b.limited || before == nil {
		return reasons
	}
	grown, allowed, as := size-*before, b.maxGrowth, humanBytes(b.maxGrowth)
	if b.percent >= 0 {
		allowed = int64(min(float64(*before)*b.percent/100, 1<<62))
		as = fmt.Sprintf("%s%%, which is %s", strconv.FormatFloat(b.percent, 'f', -1, 64), humanBytes(allowed))
	}
	if grown > allowed {
		reasons = append(reasons, fmt.Sprintf("%s has grown by %s of %s, and --max-growth allows %s", what, humanBytes(grown), of, as))
	}
	return reasons
}

// check returns an error that lists the limits that size breaks, or nil.
func (b budget) check(what, of string, size int64, before *int64) error {
	reasons := b.exceeded(what, of, size, before)
	if len(reasons) == 0 {
		return nil
	}
	return exceeded(reasons)
}

// exceeded is the error of a size above limits.
func exceeded(reasons []string) error {
	return inChapter("differences", &foundError{msg: strings.Join(reasons, "; ")})
}
