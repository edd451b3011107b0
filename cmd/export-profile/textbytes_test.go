package main

import "testing"

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
