package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// units of bytes, in lower case, longer names first.
var units = []struct {
	name  string
	bytes int64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"ki", 1 << 10}, {"mi", 1 << 20}, {"gi", 1 << 30}, {"ti", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"t", 1e12}, {"b", 1}, {"", 1},
}

// parseBytes parses a number of bytes with or without a unit. Case does not matter: b is bytes, and m millions.
func parseBytes(s string) (int64, error) {
	lower := strings.ToLower(s)
	for _, u := range units {
		digits, ok := strings.CutSuffix(lower, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || !(n > 0 && n*float64(u.bytes) < 1<<62) || n*float64(u.bytes) < 1 {
			break
		}
		return int64(n * float64(u.bytes)), nil
	}
	return 0, fmt.Errorf("%q: want bytes, as in 500MB, 1.5GB or 2GiB", s)
}

// humanBytes formats a number of bytes for people.
func humanBytes(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

// count formats a number of things: "1 layer", "2 layers".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// nixSize formats a size as Nix does with -h: KiB is the smallest unit.
func nixSize(n int64) string {
	x, unit := float64(n)/1024, "KiB"
	for _, larger := range []string{"MiB", "GiB", "TiB"} {
		if x < 1024 {
			break
		}
		x, unit = x/1024, larger
	}
	return fmt.Sprintf("%.1f %s", x, unit)
}

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
