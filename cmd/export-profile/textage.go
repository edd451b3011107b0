package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	day = 24 * time.Hour
	// longestAge bounds ages, so that the sum of two does not overflow.
	longestAge = 100 * 365 * day
)

// parseAge parses a duration that can have weeks and days: 12h, 7d, 1w, 1w2d12h.
func parseAge(s string) (time.Duration, error) {
	wrong := fmt.Errorf("%q: want a time in hours, days or weeks, as in 12h, 7d, 2w or 1d12h", s)
	var sum time.Duration
	rest := s
	for _, unit := range []struct {
		name string
		is   time.Duration
	}{{"w", 7 * day}, {"d", day}} {
		number, after, ok := strings.Cut(rest, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil || n > uint64(longestAge/unit.is) {
			return 0, wrong
		}
		sum += time.Duration(n) * unit.is
		rest = after
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 || d > longestAge {
			return 0, wrong
		}
		sum += d
	}
	if sum <= 0 || sum > longestAge {
		return 0, wrong
	}
	return sum, nil
}
