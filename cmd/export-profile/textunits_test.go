package main

import (
	"testing"
	"time"
)

func TestParseBytes(t *testing.T) {
	for s, want := range map[string]int64{
		"1": 1, "1B": 1, "1b": 1, "1500": 1500, "1e3": 1000,
		"500MB": 500e6, "500mb": 500e6, "500M": 500e6, "500m": 500e6, "500 MB": 500e6,
		"1.5GB": 1.5e9, "1.5gb": 1.5e9, "1.5 GB": 1.5e9, "2KB": 2e3, "2kB": 2e3, "2k": 2e3, "1T": 1e12,
		"2GiB": 2 << 30, "2Gi": 2 << 30, "2gib": 2 << 30, "1.5gi": 3 << 29, "64KiB": 64 << 10, "1TiB": 1 << 40,
		"": 0, "0": 0, "-1": 0, "MB": 0, "many": 0, "1.5.1GB": 0, "0.1": 0, "NaN": 0, "Inf": 0, "1e30GB": 0, "5%": 0, "1GBs": 0,
	} {
		got, err := parseBytes(s)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("parseBytes(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
}

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
