package main

import (
	"testing"
	"time"
)

func TestParseAge(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"12h": 12 * time.Hour, "90m": 90 * time.Minute, "7d": 7 * day, "1w": 7 * day, "2w": 14 * day,
		"1d12h": 36 * time.Hour, "1w2d3h": 9*day + 3*time.Hour, "1w30m": 7*day + 30*time.Minute,
		"": 0, "7": 0, "d": 0, "0d": 0, "0w": 0, "-1d": 0, "-1h": 0, "1d-2h": 0, "1.5d": 0, "1h2d": 0, "2d1w": 0, "1d1d": 0,
		"7days": 0, "1 w": 0, "65536d": 0, "65535w": 0, "9000000h": 0, "+1d": 0,
	} {
		got, err := parseAge(s)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("parseAge(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
}
